// SPDX-License-Identifier: Apache-2.0
//
// job.hpp: a request to a model, and the channel on which one attempt answers.
//
// An attempt has two ends. The worker holds the Outlet, the request (on the serial thread) holds
// the Inlet. Items of a stream go through a bounded mpsc channel, the outcome through a oneshot;
// `notify` tells the request that there is something to take. When an Outlet is destroyed without
// an outcome, because the worker is gone, the request sees a closed oneshot.
//
// Thread rule: Outlet is used by the worker's thread, Inlet by the serial one; AttemptControl by
// both.
#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <expected>
#include <functional>
#include <gantry/channel/mpsc.hpp>
#include <gantry/channel/oneshot.hpp>
#include <gantry/deadline.hpp>
#include <gantry/json.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "plugins/ai/config.hpp"
#include "plugins/ai/embedded/workspace_index.hpp"
#include "plugins/ai/members.hpp"

namespace gantry::ai {

struct Job {
  enum class Kind { complete, chat };
  Kind kind = Kind::complete;
  bool stream = false;
  std::string prefix;  ///< complete: the text before the cursor; chat: the text of the last message
  std::string suffix;
  std::string messages;             ///< chat: JSON, as the caller gave it
  std::vector<Member> options;      ///< members that the provider gets unchanged
  std::vector<std::string> stop{};  ///< from the options: texts before which the answer ends
  std::optional<std::size_t> max_tokens;
  Learned learned;  ///< the model of the workspace concerned
};

/// The number of tokens of a completion when the caller gives none: some servers would never stop.
inline constexpr std::size_t kDefaultMaxTokens = 64;

/// Why an attempt failed, and the facts for a retry.
struct Failure {
  Error error;
  bool retryable = false;
  std::optional<Duration> retry_after;  ///< the pause that the provider asks for
};

/// The result's members except `model`, or why there is none.
using Outcome = std::expected<json, Failure>;

struct AttemptControl {
  std::atomic<bool> cancelled{false};  ///< set by the request: end the attempt, nobody reads the outcome
  std::atomic<bool> stalled{false};    ///< set by the worker: the channel of items was full
  std::atomic<bool> noticed{false};    ///< a notification is under way
  std::atomic<bool> complete{false};   ///< set by the worker: the answer is complete, but its stream has not ended
  std::atomic<bool> enough{false};     ///< set by the request: a complete answer is the outcome, as it is
};

inline constexpr std::size_t kAttemptItems = 64;

class Outlet {
 public:
  Outlet(std::shared_ptr<AttemptControl> control, mpsc::Sender<std::string> items, oneshot::Sender<Outcome> reply,
         std::function<void()> notify)
      : control_(std::move(control)), items_(std::move(items)), reply_(std::move(reply)), notify_(std::move(notify)) {}
  Outlet(Outlet&&) noexcept = default;
  Outlet& operator=(Outlet&& other) noexcept {
    if (this != &other) {
      close();
      control_ = std::move(other.control_);
      items_ = std::move(other.items_);
      reply_ = std::move(other.reply_);
      notify_ = std::move(other.notify_);
      kept_ = std::move(other.kept_);
      emitted_ = other.emitted_;
    }
    return *this;
  }
  ~Outlet() { close(); }

  [[nodiscard]] bool cancelled() const { return control_->cancelled.load(std::memory_order_relaxed); }
  [[nodiscard]] bool enough() const { return control_->enough.load(std::memory_order_relaxed); }
  /// Reports that the answer is complete, although its stream has not ended.
  void complete() {
    if (!control_->complete.exchange(true)) notify();
  }
  /// The number of items that were emitted so far.
  [[nodiscard]] std::size_t emitted() const { return emitted_; }

  /// Sends one item, or keeps it when the channel is full.
  void emit(const json& item) {
    ++emitted_;
    kept_.push_back(dump_json(item));
    (void)flush();
  }
  /// Sends the items that are kept. False: some are still kept; the owner must produce no more for
  /// now.
  [[nodiscard]] bool flush() {
    bool sent = false;
    while (!kept_.empty()) {
      if (!items_->try_send(std::move(kept_.front()))) {
        // The mark is set before the second try: else the request could drain in between and never
        // wake the worker.
        if (!control_->stalled.exchange(true)) continue;
        break;
      }
      kept_.pop_front();
      sent = true;
    }
    if (kept_.empty()) control_->stalled.store(false);
    if (sent) notify();
    return kept_.empty();
  }
  /// Sends the outcome. Called once, after flush() has succeeded.
  void finish(Outcome outcome) {
    (void)reply_->send(std::move(outcome)).has_value();
    reply_.reset();
  }

 private:
  void close() {
    if (!control_) return;  // moved from
    // The order matters: a request that sees the end of the items then sees the oneshot closed.
    reply_.reset();
    items_.reset();
    notify();
    control_.reset();
  }
  void notify() {
    if (!control_->noticed.exchange(true)) notify_();
  }
  std::shared_ptr<AttemptControl> control_;
  std::optional<mpsc::Sender<std::string>> items_;
  std::optional<oneshot::Sender<Outcome>> reply_;
  std::function<void()> notify_;
  std::deque<std::string> kept_;
  std::size_t emitted_ = 0;
};

struct Inlet {
  std::shared_ptr<AttemptControl> control;
  mpsc::Receiver<std::string> items;
  oneshot::Receiver<Outcome> answer;
};

struct AttemptChannel {
  Outlet outlet;
  Inlet inlet;
};

/// `notify` is called on the worker's thread and must not block.
[[nodiscard]] inline AttemptChannel attempt_channel(std::function<void()> notify) {
  auto control = std::make_shared<AttemptControl>();
  auto [tx, rx] = mpsc::channel<std::string>(kAttemptItems);
  auto [reply, answer] = oneshot::channel<Outcome>();
  return AttemptChannel{Outlet(control, std::move(tx), std::move(reply), std::move(notify)),
                        Inlet{control, std::move(rx), std::move(answer)}};
}

/// A command for the worker: one attempt at a job, with one model.
struct StartAttempt {
  std::shared_ptr<const Job> job;
  Target target;
  Outlet outlet;
};

}  // namespace gantry::ai
