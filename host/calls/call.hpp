// SPDX-License-Identifier: Apache-2.0
//
// host/calls/call.hpp: a call on its way, and the sink for its answer.
#pragma once

#include <atomic>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>
#include <cstdint>
#include <functional>
#include <gantry/deadline.hpp>
#include <gantry/descriptor.hpp>
#include <gantry/result.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace gantry::host {

/// The id of a client or plugin; 0 is the host itself.
using OriginId = std::uint64_t;

/// The rights of a plugin that makes calls. Thread rule: any thread.
class CallerRights {
 public:
  CallerRights() = default;
  CallerRights(const CallerRights&) = delete;
  CallerRights& operator=(const CallerRights&) = delete;
  virtual ~CallerRights() = default;
  /// `permission_denied` names the grant that is missing. `traceparent`: of the call, for the log
  /// line of a refusal.
  [[nodiscard]] virtual Result<void> may_call(const std::string& method, std::string_view traceparent) const = 0;
  [[nodiscard]] virtual Result<void> may_call_back(std::string_view traceparent) const = 0;
};

struct CallRequest {
  std::string method;
  std::string params = "{}";  ///< the text of one JSON object, validated
  OriginId origin = 0;
  Deadline deadline;
  std::optional<std::uint32_t> stream_credit;  ///< set: the call is opened as a stream, with this credit
  std::string traceparent;
  std::string idempotency_key;
  OriginId client = 0;                                   ///< set: this client is called, and not a service
  Descriptors descriptors;                               ///< that go with the call
  std::shared_ptr<const CallerRights> rights = nullptr;  ///< of the plugin that calls; nullptr: every call is allowed
  bool background = false;                               ///< nobody waits for the call; a reload cancels it
};

/// The text of one JSON value, and the descriptors that go with it.
struct Answer {
  Answer(std::string value, Descriptors fds = {})  // NOLINT(google-explicit-constructor): most answers are text
      : text(std::move(value)), descriptors(std::move(fds)) {}
  std::string text;
  Descriptors descriptors;
};

/// How a plugin answers: with an Answer, or with a text that belongs to the plugin and is valid only
/// until the call that passes it returns.
class PluginAnswer {
 public:
  PluginAnswer(Result<Answer> answer) : kept_(std::move(answer)) {}        // NOLINT(google-explicit-constructor)
  PluginAnswer(std::unexpected<Error> error) : kept_(std::move(error)) {}  // NOLINT(google-explicit-constructor)
  explicit PluginAnswer(std::string_view borrowed) : borrowed_(borrowed) {}
  [[nodiscard]] bool is_error() const { return !kept_; }
  [[nodiscard]] const Error& error() const { return kept_.error(); }
  [[nodiscard]] std::string_view borrowed() const { return borrowed_; }
  /// A borrowed text is copied.
  [[nodiscard]] Result<Answer> take() && {
    if (!borrowed_.empty()) return Answer(std::string(borrowed_));
    return std::move(kept_);
  }

 private:
  Result<Answer> kept_ = Answer(std::string());
  std::string_view borrowed_;  ///< the text of a JSON value is never empty
};

/// The receiver of one call's answer and items. Thread rule: called from any thread, without a lock
/// of the caller's held; must not block. `answered` is called exactly once, as the last call.
class CallSink {
 public:
  CallSink() = default;
  CallSink(const CallSink&) = delete;
  CallSink& operator=(const CallSink&) = delete;
  virtual ~CallSink() = default;
  /// One item, within the credit that was given.
  virtual void item(std::string_view payload) = 0;
  /// False: bytes that were sent before still wait, so an item had better wait too;
  /// ActiveCall::give_credit(0) says later that there is room again. This function is a leaf: it
  /// takes no lock that is held over a call.
  [[nodiscard]] virtual bool has_room() const { return true; }
  /// The callee has ended its stream; the answer follows.
  virtual void item_end() = 0;
  /// The callee takes this many more items.
  virtual void credit(std::uint32_t items) = 0;
  virtual void progress(std::string_view payload) = 0;
  virtual void answered(Result<Answer> answer) = 0;
  /// As answered(), with a text that the sink copies if it is kept.
  virtual void answered_text(std::string_view text) { answered(Answer(std::string(text))); }
};

class ActiveCall;
/// A reference to one call.
using CallPtr = boost::intrusive_ptr<ActiveCall>;
/// Makes a call. The sink is answered exactly once, perhaps before this returns.
using MakeCall = std::function<CallPtr(CallRequest, std::shared_ptr<CallSink>)>;

/// Steers one call. Thread rule: any thread; nothing blocks. After the answer every function is
/// ignored.
class ActiveCall : public boost::intrusive_ref_counter<ActiveCall, boost::thread_safe_counter> {
 public:
  ActiveCall() = default;
  ActiveCall(const ActiveCall&) = delete;
  ActiveCall& operator=(const ActiveCall&) = delete;
  virtual ~ActiveCall() = default;
  /// Sends an item of the caller's own stream. `overloaded`: beyond the credit that the callee
  /// gave.
  [[nodiscard]] virtual Result<void> send_item(std::string payload) = 0;
  virtual void send_end() = 0;
  /// Lets the callee send `items` more. 0: the sink has room again (CallSink::has_room).
  virtual void give_credit(std::uint32_t items) = 0;
  /// The caller has lost interest. The answer is `cancelled`, unless another is on its way already.
  virtual void cancel() = 0;
};

/// A call that is over, or that cannot be steered.
class NoCall final : public ActiveCall {
 public:
  [[nodiscard]] Result<void> send_item(std::string /*payload*/) override { return {}; }
  void send_end() override {}
  void give_credit(std::uint32_t /*items*/) override {}
  void cancel() override {}
};

/// One call, from where it enters to its answer: the request, the way back (the Call is its own
/// CallSink), and the word that decides who answers. The plugin runtime (PluginCall), the router
/// (RoutedCall) and the protocol derive from Call, and add their parts, so that all of them work on
/// one object.
///
/// The word holds marks in its low bits, and the number of the attempt above them. Each step is one
/// atomic operation on the word: if an answer, a time-out, a cancel and the death of a plugin come
/// at once, exactly one sets kAnswered; a delivery or an answer of an earlier attempt finds another
/// number.
class Call : public ActiveCall, public CallSink {
 public:
  explicit Call(CallRequest&& request) : request_(std::move(request)) {}
  /// Constant once the call is on its way, except for the descriptors, which go with the first
  /// delivery.
  [[nodiscard]] const CallRequest& request() const { return request_; }
  [[nodiscard]] bool is_stream() const { return request_.stream_credit.has_value(); }
  /// True: the call is answered or cancelled, and nobody waits for it any more.
  [[nodiscard]] bool is_over() const { return is_over(word_.load(std::memory_order_acquire)); }

 protected:
  using Word = std::uint64_t;
  static constexpr Word kAnswered = 1;   ///< the thread that sets it answers, and no other
  static constexpr Word kCancelled = 2;  ///< the plugin is told, or will be; later messages from it are dropped
  static constexpr Word kOwed = 4;       ///< a plugin owes the answer of this attempt
  static constexpr Word kBegun = 8;      ///< the plugin's mailbox has the call: messages of the caller follow it
  static constexpr Word kSaid = 16;      ///< the caller has sent something, perhaps before kBegun
  static constexpr Word kHasPermit = 32;
  static constexpr unsigned kAttemptShift = 32;

  [[nodiscard]] static constexpr std::uint32_t attempt_of(Word word) {
    return static_cast<std::uint32_t>(word >> kAttemptShift);
  }
  [[nodiscard]] static constexpr bool is_over(Word word) { return (word & (kAnswered | kCancelled)) != 0; }
  /// Returns the word as it was before.
  Word mark(Word set) { return word_.fetch_or(set, std::memory_order_seq_cst); }
  Word unmark(Word clear) { return word_.fetch_and(~clear, std::memory_order_seq_cst); }
  /// Sets kAnswered and clears kOwed; returns the word as it was before. A caller that does not
  /// find kAnswered in the result is to answer.
  Word conclude() {
    Word before = word_.load(std::memory_order_relaxed);
    while (!word_.compare_exchange_weak(before, (before | kAnswered) & ~kOwed, std::memory_order_seq_cst)) {
    }
    return before;
  }
  /// By who has set kAnswered.
  void give(PluginAnswer answer) {
    if (!answer.borrowed().empty()) {
      answered_text(answer.borrowed());
    } else {
      answered(std::move(answer).take());
    }
  }

  std::atomic<Word> word_{0};
  CallRequest request_;
};

/// A call with a sink beside it.
template <class Base>
class WithSink final : public Base {
 public:
  WithSink(CallRequest request, std::shared_ptr<CallSink> sink) : Base(std::move(request)), sink_(std::move(sink)) {}
  void item(std::string_view payload) override { sink_->item(payload); }
  [[nodiscard]] bool has_room() const override { return sink_->has_room(); }
  void item_end() override { sink_->item_end(); }
  void credit(std::uint32_t items) override { sink_->credit(items); }
  void progress(std::string_view payload) override { sink_->progress(payload); }
  void answered(Result<Answer> answer) override { sink_->answered(std::move(answer)); }

 private:
  const std::shared_ptr<CallSink> sink_;
};

}  // namespace gantry::host
