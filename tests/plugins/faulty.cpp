// SPDX-License-Identifier: Apache-2.0
//
// A plugin that does wrong on request, so that the host can be seen to cope. It is no part of the product. It is built
// three times, under the names that FAULTY gives it; as "hasty" it says that it is nonblocking, and is not.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <gantry/params.hpp>
#include <gantry/plugin.hpp>
#include <map>

#include "tests/waiting.hpp"

namespace {

using namespace gantry;

class Faulty {
 public:
  explicit Faulty(Host host) : host_(std::move(host)) {}

  Result<void> start(const PluginConfig& config) {
    if (config.settings.value("refuse_to_start", false)) return fail(ErrorKind::unavailable, "told to refuse");
    workspaces_ = config.workspaces;
    block_until(config.settings.value("start_file", ""));
    if (const std::string other = config.settings.value("call_in_start", ""); !other.empty())
      (void)host_.call(other, json::object(), {}, [host = host_](Result<CallAnswer> answer) {
        host.log(Level::info,
                 "in its start it was answered " + (answer ? answer->value.dump() : answer.error().message));
      });
    if (config.settings.value("hang", "") == "start") hang("start");
    hangs_at_its_end_ = config.settings.value("hang", "") == "destroy";
    return {};
  }
  void reconfigure(const PluginConfig& config) { workspaces_ = config.workspaces; }
  Result<json> workspaces(Call&) { return json(workspaces_); }
  ~Faulty() {
    if (hangs_at_its_end_) hang("destroy");
  }
  void hangs(Call) { hang("a call"); }

  // Fails with `code`, or `unavailable`, the first N times that a key is used.
  Result<json> fail_times(Call& call) {
    Params p(call.params());
    const std::string key = p.string("key");
    const auto times = p.integer("times", 0, 1000);
    const auto code = p.integer_or("code", static_cast<std::int64_t>(ErrorKind::unavailable), -100'000, 0);
    if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
    const auto attempt = ++attempts_[key];
    if (attempt <= times) return fail(static_cast<ErrorKind>(code), "attempt " + std::to_string(attempt) + " fails");
    return json{{"attempts", attempt}};
  }
  Result<json> attempts(Call& call) { return json{{"attempts", attempts_[call.params().value("key", "")]}}; }

  // Answers after `delay_ms` on the host's clock.
  void late(Call call) {
    const auto delay = std::chrono::milliseconds(call.params().value("delay_ms", 0));
    auto held = std::make_shared<Call>(std::move(call));
    (void)host_.after(delay, [held] { held->reply(json{{"late", true}}); });
  }
  void fails_late(Call call) {
    const auto delay = std::chrono::milliseconds(call.params().value("delay_ms", 0));
    auto held = std::make_shared<Call>(std::move(call));
    (void)host_.after(delay, [held] { held->reply_error(Error{ErrorKind::unavailable, "it fails late", {}}); });
  }

  void never(Call call) {
    auto held = std::make_shared<Call>(std::move(call));
    held->on_cancel([this, id = held->id()] { cancelled_.push_back(id); });
    held_.push_back(held);
  }
  void progresses(Call call) {
    call.progress("half way", 50);
    call.reply(json::object());
  }
  void slow(Call call) {
    auto held = std::make_shared<Call>(std::move(call));
    slow_.push_back(held);
  }
  Result<json> cancelled(Call&) { return json{{"count", cancelled_.size()}}; }
  Result<json> release(Call&) {
    held_.clear();
    for (const auto& held : slow_) held->reply(json::object());
    slow_.clear();
    return json::object();
  }

  Result<json> throws(Call&) { throw std::runtime_error("thrown on purpose"); }
  Result<json> throws_a_number(Call&) { throw 7; }
  void throws_holding(Call) { throw std::runtime_error("thrown with the call in hand"); }
  void drops(Call) {}
  void twice(Call call) {
    call.reply(json{{"answer", 1}});
    call.reply(json{{"answer", 2}});
  }
  void garbage(Call call) { call.reply_raw("{not json"); }
  void pretty(Call call) { call.reply_raw("{\n  \"a\": 1\n}"); }

  // Sends as many items as it is asked for, of `size` bytes, as fast as it is allowed to; then answers how many left.
  void flood(Call call) {
    const auto count = call.params().value("items", 1000);
    const std::string filler(call.params().value("size", 0U), 'x');
    auto state = std::make_shared<Flood>(Flood{std::move(call), count, 0, 0, filler});
    last_flood_ = state;
    state->call.on_credit([state] { state->go(); });
    state->go();
  }
  Result<json> remembers_flood(Call&) { return json(!last_flood_.expired()); }
  Result<json> flood_events(Call& call) {
    const auto count = call.params().value("events", 1000);
    for (int i = 0; i < count; ++i) (void)host_.publish(FAULTY ".flood", json{{"i", i}});
    return json{{"published", count}};
  }

  // Echoes the caller's stream; the plugin grants as many items as it is asked to.
  void echo_stream(Call call) {
    const auto grant = static_cast<std::uint32_t>(call.params().value("grant", 4));
    auto held = std::make_shared<Call>(std::move(call));
    auto seen = std::make_shared<int>(0);
    held->on_item([held = held.get(), seen, grant](std::string_view item) {
      ++*seen;
      (void)held->item_raw(std::string(item));
      if (grant > 0) held->grant(1);
    });
    held->on_end([held, seen] { held->reply(json{{"seen", *seen}}); });
    held->on_cancel([held] { held->reply_error(Error{ErrorKind::cancelled, "cancelled", {}}); });
    if (grant > 0) held->grant(grant);
  }

  // Both answer calls whose callbacks hold the call itself: one in the handler, the other later.
  void answers_holding(Call call) {
    auto held = std::make_shared<Call>(std::move(call));
    held->reply(json::object());
    held->on_cancel([held, token = tokens_] {});
  }
  void answers_at_the_end(Call call) {
    auto held = std::make_shared<Call>(std::move(call));
    held->on_cancel([held, token = tokens_] {});
    held->on_end([held, token = tokens_] { held->reply(json::object()); });
  }
  // How many callbacks of those two are still held.
  Result<json> held_callbacks(Call&) { return json{{"count", tokens_.use_count() - 1}}; }

  Result<json> forbidden_event(Call&) {
    const auto sent = host_.publish("host.fake", json::object());
    return json{{"refused", !sent}};
  }
  Result<json> who(Call& call) {
    const auto origin = host_.origin(call.origin());
    return json{
        {"client", origin ? origin->client : ""}, {"workspace", origin ? origin->workspace : ""}, {"gone", gone_}};
  }
  void gone(std::uint64_t) { ++gone_; }
  Result<json> meta(Call& call) {
    return json{{"traceparent", call.traceparent()}, {"idempotency_key", call.idempotency_key()}};
  }
  Result<json> seen_events(Call&) { return json{{"topics", events_}}; }
  void event(std::string_view topic, const json& payload) {
    block_until(payload.value("file", ""));
    if (const std::string report = payload.value("report", ""); !report.empty()) use_host(report);
    // Fails as often as it is told to, then takes it.
    if (failed_events_ < payload.value("failures", 0)) {
      ++failed_events_;
      throw std::runtime_error("this event is not to its liking");
    }
    failed_events_ = 0;
    events_.emplace_back(topic);
  }
  Result<json> thread(Call&) { return json{{"id", ::gettid()}}; }
  // Until that file is there, or until the call is cancelled.
  Result<json> blocks(Call& call) {
    if (call.params().contains("file")) {
      block_until(call.params()["file"]);
    } else {
      host_.log(Level::info, "blocks until it is cancelled");
      (void)test::polled([&] { return call.cancelled(); }, std::chrono::hours(1));
    }
    return json::object();
  }

  static void define(Definition<Faulty>& d) {
    MethodOptions stream;
    stream.stream = true;
    MethodOptions attach;
    attach.attach = true;
    MethodOptions idempotent;
    idempotent.idempotent = true;
    d.id(FAULTY)
        .version("1.0.0")
        .service(FAULTY)
        .publishes(FAULTY ".**")
        .subscribes("test.**")
        .subscribes("to_" FAULTY ".**");
    d.method(FAULTY ".fail_times", &Faulty::fail_times, idempotent);
    d.method(FAULTY ".fail_times_once", &Faulty::fail_times);
    MethodOptions idempotent_stream = idempotent;
    idempotent_stream.stream = true;
    d.method(FAULTY ".fail_times_stream", &Faulty::fail_times, idempotent_stream);
    d.method(FAULTY ".fails_late", &Faulty::fails_late, idempotent);
    d.method(FAULTY ".attempts", &Faulty::attempts);
    d.method(FAULTY ".late", &Faulty::late).method(FAULTY ".never", &Faulty::never, stream);
    d.method(FAULTY ".cancelled", &Faulty::cancelled).method(FAULTY ".release", &Faulty::release);
    d.method(FAULTY ".throws", &Faulty::throws).method(FAULTY ".throws_holding", &Faulty::throws_holding);
    d.method(FAULTY ".throws_a_number", &Faulty::throws_a_number);
    d.method(FAULTY ".hangs", &Faulty::hangs)
        .method(FAULTY ".drops", &Faulty::drops)
        .method(FAULTY ".twice", &Faulty::twice);
    d.method(FAULTY ".garbage", &Faulty::garbage).method(FAULTY ".pretty", &Faulty::pretty);
    d.method(FAULTY ".remembers_flood", &Faulty::remembers_flood);
    d.method(FAULTY ".flood", &Faulty::flood, stream).method(FAULTY ".flood_events", &Faulty::flood_events);
    d.method(FAULTY ".echo_stream", &Faulty::echo_stream, attach);
    d.method(FAULTY ".answers_holding", &Faulty::answers_holding);
    d.method(FAULTY ".answers_at_the_end", &Faulty::answers_at_the_end, stream);
    d.method(FAULTY ".held_callbacks", &Faulty::held_callbacks);
    d.method(FAULTY ".forbidden_event", &Faulty::forbidden_event).method(FAULTY ".who", &Faulty::who);
    d.method(FAULTY ".progresses", &Faulty::progresses);
    d.method(FAULTY ".slow", &Faulty::slow, {.summary = {}, .keeps_time = true});
    d.method(FAULTY ".meta", &Faulty::meta).method(FAULTY ".workspaces", &Faulty::workspaces);
    if (std::string_view(FAULTY) == "hasty") d.nonblocking();
    d.method(FAULTY ".thread", &Faulty::thread);
    d.method(FAULTY ".seen_events", &Faulty::seen_events).method(FAULTY ".blocks", &Faulty::blocks);
  }

 private:
  struct Flood {
    Call call;
    int left;
    int sent;
    int refused;
    std::string filler;
    void go() {
      while (left > 0) {
        if (const auto sent_ok = call.item(json{{"i", sent}, {"filler", filler}}); !sent_ok) {
          ++refused;
          if (sent_ok.error().kind == ErrorKind::overloaded) return;
          left = 0;
          break;
        }
        ++sent;
        --left;
      }
      call.reply(json{{"sent", sent}, {"refused", refused}});
    }
  };

  // Does not return before that file is there.
  void block_until(const std::string& file) const {
    if (file.empty()) return;
    host_.log(Level::info, "blocks until " + file);
    (void)test::polled([&] { return std::filesystem::exists(file); }, std::chrono::hours(1));
  }
  // Writes into that file what of its requests the host has taken.
  void use_host(const std::string& report) const {
    host_.log(Level::info, "uses the host");
    json taken = json::array();
    if (host_.publish(FAULTY ".used", json::object())) taken.push_back("event");
    if (host_.call("plain.echo", json::object(), {}, nullptr)) taken.push_back("call");
    if (host_.post([] {})) taken.push_back("task");
    if (const auto timer = host_.after(std::chrono::hours(1), [] {})) taken.push_back("timer");
    if (host_.origin(1)) taken.push_back("origin");
    (void)host_.now();
    std::ofstream(report + ".part") << taken.dump();
    std::filesystem::rename(report + ".part", report);
  }
  [[noreturn]] void hang(const std::string& where) const {
    host_.log(Level::info, "hangs in " + where);
    while (true) ::pause();
  }

  Host host_;
  std::vector<std::string> workspaces_;
  bool hangs_at_its_end_ = false;
  std::weak_ptr<Flood> last_flood_;
  std::shared_ptr<int> tokens_ = std::make_shared<int>(0);
  std::map<std::string, std::int64_t> attempts_;
  std::vector<std::shared_ptr<Call>> held_;
  std::vector<std::shared_ptr<Call>> slow_;
  std::vector<std::uint64_t> cancelled_;
  std::vector<std::string> events_;
  int failed_events_ = 0;
  int gone_ = 0;
};

}  // namespace

GANTRY_PLUGIN(Faulty)
