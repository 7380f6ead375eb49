// SPDX-License-Identifier: Apache-2.0
//
// gantry/app_state.hpp: what most plugins want of the host around them, in one object: the AI and the language servers,
// the user's preferences, and sessions of the project state with typed attributes.
//
//   struct Review { int files = 0; std::string reviewer; };
//   BOOST_DESCRIBE_STRUCT(Review, (), (files, reviewer))
//
//   gantry::AppState app(host);
//   app.preference<bool>("editor.word_wrap", [](gantry::Result<std::optional<bool>> wrap) { ... });
//   app.set_preference("editor.word_wrap", true, [](gantry::Result<void> done) { ... });
//   app.update_session<Review>(id, "review", [](Review& r) -> gantry::Result<void> { ++r.files; return {}; },
//                              [](gantry::Result<Review> written) { ... });
//   app.ai().call("complete", params, [](gantry::Result<gantry::CallAnswer> answer) { ... });
//
// The services are held by name and started by the host at their first call. Nothing is kept here: each value is the
// store's. The manifest has to ask for what is used: the grants `call:state.*`, `call:ai.*`, `call:lsp.*`.
//
// Values: as gantry/fields.hpp reads and writes them. A stored value of another type is `invalid_params`.
// Updates: the updater gets the attribute as it is (a default T where there is none) and changes it; what it changed is
//   written if nobody has changed the session since, else the updater runs again on what the other one has written, at
//   most kTries times, then the answer is `conflict`. An error of the updater writes nothing.
// Thread rule: serial, as the callbacks, which run once each. An AppState may be copied, and die before its callbacks
// run. Source: seed 001, "Centralized State Management"; the asynchronous persistence of preferences is Persist::later.
#pragma once

#include <cstdint>
#include <functional>
#include <gantry/fields.hpp>
#include <gantry/plugin/host.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace gantry {

/// A service, by name.
class ServiceByName {
 public:
  ServiceByName(Host host, std::string name) : host_(std::move(host)), name_(std::move(name)) {}
  /// Calls NAME.`method`. Errors as Host::call().
  Result<OutgoingCall> call(std::string_view method, const json& params, OnAnswer done,
                            CallOptions options = {}) const {
    return host_.call(name_ + "." + std::string(method), params, std::move(options), std::move(done));
  }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  Host host_;
  std::string name_;
};

enum class Persist : std::uint8_t {
  before_answer,  ///< `done` runs when the value is on the disk
  later,          ///< `done` runs when the value is taken; a failure is logged, and the event state.setting.failed
};

class AppState {
 public:
  static constexpr int kTries = 8;
  template <class T>
  using OnValue = std::move_only_function<void(Result<T>)>;

  explicit AppState(Host host) : host_(std::move(host)) {}

  [[nodiscard]] ServiceByName ai() const { return {host_, "ai"}; }
  [[nodiscard]] ServiceByName lsp() const { return {host_, "lsp"}; }
  [[nodiscard]] ServiceByName project_state() const { return {host_, "state"}; }

  /// The user's preference; empty: it was never set, or deleted.
  template <class T>
  void preference(const std::string& key, OnValue<std::optional<T>> done) const {
    ask("state.settings.get", {{"key", key}}, [done = std::move(done)](Result<json> answer) mutable {
      if (!answer) return done(std::unexpected(std::move(answer.error())));
      const json value = answer->value("value", json());
      if (value.is_null()) return done(std::optional<T>());
      auto read = read_value<T>(value);
      if (!read) return done(std::unexpected(std::move(read.error())));
      done(std::optional<T>(std::move(*read)));
    });
  }

  /// `done` may be empty.
  template <class T>
  void set_preference(const std::string& key, const T& value, OnValue<void> done,
                      Persist persist = Persist::before_answer) const {
    const char* durability = persist == Persist::later ? "D1" : "D2";
    ask("state.settings.set", {{"key", key}, {"value", write_value(value)}, {"durability", durability}},
        [done = std::move(done)](Result<json> answer) mutable {
          if (!done) return;
          if (answer) return done({});
          done(std::unexpected(std::move(answer.error())));
        });
  }

  /// Changes the attribute `name` of a session; `done` gets what was written.
  template <class T>
  void update_session(const std::string& id, const std::string& name, std::move_only_function<Result<void>(T&)> updater,
                      OnValue<T> done) const {
    try_update<T>(std::make_shared<Update<T>>(Update<T>{host_, id, name, std::move(updater), std::move(done)}));
  }

 private:
  template <class T>
  struct Update {
    Host host;
    std::string id;
    std::string name;
    std::move_only_function<Result<void>(T&)> updater;
    OnValue<T> done;
    int tries = 0;
  };
  /// Any type that fields.hpp knows as a member.
  template <class T>
  struct Box {
    T value{};
    BOOST_DESCRIBE_CLASS(Box, (), (value), (), ())
  };

  template <class T>
  [[nodiscard]] static Result<T> read_value(const json& value) {
    auto box = from_json<Box<T>>({{"value", value}});
    if (!box) return std::unexpected(std::move(box.error()));
    return std::move(box->value);
  }
  template <class T>
  [[nodiscard]] static json write_value(const T& value) {
    return to_json(Box<T>{value})["value"];
  }

  static void ask(const Host& host, const char* method, const json& params,
                  std::move_only_function<void(Result<json>)> done) {
    const auto held = std::make_shared<std::move_only_function<void(Result<json>)>>(std::move(done));
    const auto made = host.call(method, params, {}, [held](Result<CallAnswer> answer) {
      if (answer) return (*held)(std::move(answer->value));
      (*held)(std::unexpected(std::move(answer.error())));
    });
    if (!made) (*held)(std::unexpected(made.error()));
  }
  void ask(const char* method, const json& params, std::move_only_function<void(Result<json>)> done) const {
    ask(host_, method, params, std::move(done));
  }

  template <class T>
  static void try_update(std::shared_ptr<Update<T>> update) {
    ++update->tries;
    ask(update->host, "state.session.get", {{"id", update->id}}, [update](Result<json> answer) {
      if (!answer) return update->done(std::unexpected(std::move(answer.error())));
      const json& session = (*answer)["session"];
      const json attributes = session.value("attributes", json::object());
      auto value = attributes.contains(update->name) ? read_value<T>(attributes[update->name]) : Result<T>(T{});
      if (!value) return update->done(std::unexpected(std::move(value.error())));
      if (auto ok = update->updater(*value); !ok) return update->done(std::unexpected(std::move(ok.error())));
      write<T>(update, session["rev"], std::move(*value));
    });
  }

  template <class T>
  static void write(const std::shared_ptr<Update<T>>& update, const json& rev, T value) {
    const json patch{{"attributes", {{update->name, write_value(value)}}}};
    ask(update->host, "state.session.update", {{"id", update->id}, {"rev", rev}, {"patch", patch}},
        [update, value = std::move(value)](Result<json> answer) mutable {
          if (answer) return update->done(std::move(value));
          if (answer.error().kind == ErrorKind::conflict && update->tries < kTries) return try_update<T>(update);
          update->done(std::unexpected(std::move(answer.error())));
        });
  }

  Host host_;
};

}  // namespace gantry
