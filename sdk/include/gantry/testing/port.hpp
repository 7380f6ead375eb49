// SPDX-License-Identifier: Apache-2.0
//
// gantry/testing/port.hpp: the host's side of gantry/abi.h for a plugin under test
// (gantry/testing.hpp).
//
// Thread rule: any thread.
#pragma once

#include <algorithm>
#include <gantry/detail/host_table.hpp>
#include <gantry/testing/core.hpp>
#include <memory>
#include <string_view>

namespace gantry::testing {
class CallEnd;
class TestStream;
class MadeCall;
}  // namespace gantry::testing

namespace gantry::testing::detail {

class HostPort : public HostCore {
 protected:
  explicit HostPort(Time time) : HostCore(time) {}
  ~HostPort() = default;

  void fill_host() { host_ = Table::of(*this); }

  std::uint64_t send_call(const std::string& method, const json& params, CallWith with) {
    const std::uint64_t id = with.resumes ? *with.resumes : next_id_++;
    {
      Lock lock(mutex_);
      next_id_ = std::max<std::uint64_t>(next_id_, id + 1);
      calls_[id].credit = with.credit.value_or(0);
      calls_[id].stream = with.credit.has_value();
      calls_[id].granted = with.granted;
    }
    std::string text_of = with.raw_params.empty() ? params.dump() : with.raw_params;
    loop_.post([this, id, method, text = std::move(text_of), with = std::make_shared<CallWith>(std::move(with))] {
      auto msg = gantry::detail::make_msg(GANTRY_CALL, id);
      msg.topic = gantry::detail::to_bytes(method);
      msg.payload = gantry::detail::to_bytes(text);
      if (with->credit) msg.flags = GANTRY_STREAM;
      if (with->resumes) msg.flags |= GANTRY_RESUMED;
      msg.credit = with->credit.value_or(0);
      msg.budget_ns = with->budget.count();
      msg.origin = with->origin;
      msg.traceparent = gantry::detail::to_bytes(with->traceparent);
      msg.idempotency_key = gantry::detail::to_bytes(with->idempotency_key);
      (void)hand(msg, std::move(with->descriptors));
    });
    return id;
  }

  /// Answers a call that the plugin has made. Only the first answer counts.
  void answer_own(std::uint64_t id, Result<CallAnswer> answer) {
    {
      Lock lock(mutex_);
      const auto it = calls_.find(id);
      if (closed_ || it == calls_.end() || it->second.result) return;
      it->second.result.emplace(answer ? Result<json>(answer->value) : std::unexpected(answer.error()));
      it->second.held = false;
      ++activity_;
    }
    changed_.notify_all();
    loop_.post([this, id, shared = std::make_shared<Result<CallAnswer>>(std::move(answer))] {
      auto& got = *shared;
      auto msg = gantry::detail::make_msg(GANTRY_RESPONSE, id);
      if (!got) msg.status = static_cast<std::int32_t>(got.error().kind);
      const std::string text = got ? got->value.dump() : gantry::detail::error_payload(got.error());
      msg.payload = gantry::detail::to_bytes(text);
      (void)hand(msg, got ? std::move(got->descriptors) : Descriptors{});
    });
  }
  /// Passes the calls that wait for an answer to the handlers of their methods.
  void ask_for_held() {
    std::vector<std::uint64_t> held;
    {
      Lock lock(mutex_);
      for (auto& [id, call] : calls_) {
        if (std::exchange(call.held, false)) held.push_back(id);
      }
    }
    for (const auto id : held) ask(id);
  }

 private:
  friend class gantry::testing::CallEnd;
  friend class gantry::testing::TestStream;
  friend class gantry::testing::MadeCall;

  using Table = gantry::detail::HostTable<HostPort>;
  friend Table;

  // The functions that the plugin calls (gantry/detail/host_table.hpp).
  std::int32_t on_post(void (*fn)(void*), void* arg) {
    Lock lock(mutex_);
    if (const auto refused = refusal(Lane::posts)) return *refused;
    Task task = [fn, arg] { fn(arg); };
    if (gate(Lane::posts) == Gate::stalled) {
      stalled_posts_.push_back(std::move(task));
    } else {
      loop_.post(std::move(task));
    }
    return GANTRY_OK;
  }
  void on_log(std::int32_t /*level*/, std::string_view line) {
    Lock lock(mutex_);
    log_ += std::string(line) + "\n";
  }
  [[nodiscard]] bool on_cancelled(std::uint64_t id) const {
    Lock lock(mutex_);
    const auto it = calls_.find(id);
    return it == calls_.end() || it->second.cancelled || it->second.closed || it->second.result;
  }
  [[nodiscard]] static bool has_extensions() { return true; }
  [[nodiscard]] TimePoint on_now() const { return loop_.now(); }
  std::uint64_t on_timer_start(Duration delay, void (*fn)(void*), void* arg) {
    Lock lock(mutex_);
    if (refusal(Lane::timers)) return 0;
    return loop_.start_timer(delay, [fn, arg] { fn(arg); });
  }
  bool on_timer_cancel(std::uint64_t id) { return loop_.cancel_timer(id); }
  [[nodiscard]] std::optional<std::string> on_describe(std::uint64_t origin) const {
    Lock lock(mutex_);
    const auto it = origins_.find(origin);
    return it == origins_.end() ? std::nullopt : std::optional(it->second.dump());
  }
  [[nodiscard]] Descriptors on_take_descriptors() { return std::exchange(came_, {}); }
  std::int32_t on_give_state(std::string_view state) {
    Lock lock(mutex_);
    if (!stopping_ || !next_comes_) return GANTRY_CLOSED;
    given_.emplace(state);
    return GANTRY_OK;
  }
  std::int32_t on_give_stream(std::uint64_t id) {
    Lock lock(mutex_);
    const auto it = calls_.find(id);
    if (!stopping_ || !next_comes_ || it == calls_.end() || !it->second.stream || it->second.result)
      return GANTRY_CLOSED;
    it->second.closed = true;
    given_streams_.push_back(id);
    return GANTRY_OK;
  }
  [[nodiscard]] std::optional<std::string> on_take_state() const {
    Lock lock(mutex_);
    return handed_over_;
  }

  /// Handles any message of the plugin; returns enum gantry_sent.
  std::int32_t on_send(const gantry_msg& msg, Descriptors descriptors) {
    const auto text = gantry::detail::to_view(msg.payload);
    auto payload = text.empty() ? Result<json>(json()) : parse_json(text);
    std::optional<std::uint64_t> to_ask;
    std::int32_t sent = GANTRY_INVALID;
    {
      Lock lock(mutex_);
      if (payload || msg.kind == GANTRY_RESPONSE) sent = take_in(msg, payload, std::move(descriptors));
      if (sent == GANTRY_OK && msg.kind == GANTRY_CALL && gate(Lane::calls) != Gate::stalled) {
        calls_.at(msg.id).held = false;
        to_ask = msg.id;
      }
      messages_.push_back(Message{static_cast<gantry_kind>(msg.kind), msg.id,
                                  std::string(gantry::detail::to_view(msg.topic)), payload ? *payload : json(),
                                  msg.status, msg.flags, msg.credit, sent});
      if (messages_.size() > kMaxMessages) messages_.pop_front();
      ++activity_;
    }
    changed_.notify_all();
    if (to_ask) ask(*to_ask);
    return sent;
  }
  std::int32_t take_in(const gantry_msg& msg, const Result<json>& payload, Descriptors descriptors)
      GANTRY_REQUIRES(mutex_) {
    if (msg.kind == GANTRY_EVENT) return take_event(msg, *payload);
    const bool own = (msg.id & GANTRY_OWN_CALL) != 0;
    if (msg.kind == GANTRY_CALL) return own ? take_own(msg, *payload, std::move(descriptors)) : GANTRY_INVALID;
    const auto it = calls_.find(msg.id);
    if (it == calls_.end() || it->second.result || it->second.closed) return GANTRY_CLOSED;
    OpenCall& call = it->second;
    switch (msg.kind) {
      case GANTRY_ITEM:
        return take_item(call, msg);
      case GANTRY_CREDIT:
        call.granted += msg.credit;
        return GANTRY_OK;
      case GANTRY_PROGRESS:
        if (own) return GANTRY_INVALID;
        call.progress.push_back(*payload);
        return GANTRY_OK;
      case GANTRY_CANCEL:
        if (!own) return GANTRY_INVALID;
        if (std::exchange(call.cancelled, true)) return GANTRY_CLOSED;
        return GANTRY_OK;
      case GANTRY_RESPONSE:
        if (own) return GANTRY_INVALID;
        ++answers_;
        call.descriptors = std::move(descriptors);
        call.result.emplace(answer_of(msg, payload));
        return GANTRY_OK;
      default:
        return GANTRY_INVALID;
    }
  }
  static Result<json> answer_of(const gantry_msg& msg, const Result<json>& payload) {
    if (!payload) return fail(ErrorKind::internal, "the plugin's answer is " + payload.error().message);
    if (msg.status == 0) return *payload;
    return std::unexpected(gantry::detail::parse_error(msg.status, dump_json(*payload), "the plugin"));
  }
  static std::int32_t take_item(OpenCall& call, const gantry_msg& msg) {
    if (call.cancelled) return GANTRY_CLOSED;
    if ((msg.flags & GANTRY_END) != 0) {
      call.items_ended = true;
      return GANTRY_OK;
    }
    if (call.credit == 0) return GANTRY_FULL;
    --call.credit;
    call.items.emplace_back(gantry::detail::to_view(msg.payload));
    return GANTRY_OK;
  }
  std::int32_t take_event(const gantry_msg& msg, const json& payload) GANTRY_REQUIRES(mutex_) {
    if (msg.topic.size == 0) return msg.epoch.size == 0 ? GANTRY_INVALID : GANTRY_OK;  // it names its log
    if (const auto refused = refusal(Lane::events)) return *refused;
    Event event{std::string(gantry::detail::to_view(msg.topic)), std::string(gantry::detail::to_view(msg.epoch)),
                msg.id, payload, answers_};
    if (gate(Lane::events) == Gate::stalled) {
      stalled_events_.push_back(std::move(event));
    } else {
      events_.push_back(std::move(event));
    }
    return GANTRY_OK;
  }
  std::int32_t take_own(const gantry_msg& msg, const json& payload, Descriptors descriptors) GANTRY_REQUIRES(mutex_) {
    if (const auto refused = refusal(Lane::calls)) return *refused;
    const auto before = calls_.find(msg.id);
    if (before != calls_.end() && !before->second.result) return GANTRY_INVALID;
    if (msg.topic.size == 0 || !payload.is_object()) return GANTRY_INVALID;
    if (before != calls_.end()) calls_.erase(before);
    OpenCall& call = calls_[msg.id];
    call.method = gantry::detail::to_view(msg.topic);
    call.params = payload;
    call.stream = (msg.flags & GANTRY_STREAM) != 0;
    call.granted = call.stream ? msg.credit : 0;
    call.client = msg.origin;
    call.traceparent = gantry::detail::to_view(msg.traceparent);
    call.idempotency_key = gantry::detail::to_view(msg.idempotency_key);
    call.budget_ns = msg.budget_ns;
    call.descriptors = std::move(descriptors);
    call.held = true;
    return GANTRY_OK;
  }

  /// Passes a call of the plugin to the handler of its method.
  void ask(std::uint64_t id) {
    loop_.post([this, id] {
      OnCall handler;
      std::string method;
      json params;
      {
        Lock lock(mutex_);
        const auto& call = calls_.at(id);
        if (call.result) return;
        method = call.method;
        params = call.params;
        if (const auto it = on_calls_.find(method); it != on_calls_.end()) handler = it->second;
      }
      const Reply reply = [this, id](Result<CallAnswer> answer) { answer_own(id, std::move(answer)); };
      if (handler) return handler(params, reply);
      reply(fail(ErrorKind::method_not_found, "this test answers no " + method + "; see on_call"));
    });
  }
};

}  // namespace gantry::testing::detail
