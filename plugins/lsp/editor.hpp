// SPDX-License-Identifier: Apache-2.0
//
// editor.hpp: the editor's end of an attach stream.
//
// Thread rule: any thread. The lock is held over the sdk's item and answer functions, which neither block nor call
//   back: so items of several threads keep one order.
// Bounds: an item that the editor does not take now, for want of credit or of room, is kept; after the first one `send`
//   says `blocked`, and the server's output is not read until `credit()` says that the rest is gone. Answers of our own
//   may still be added: each is to a request of the editor, whose number is bounded by the credit that we give. So may
//   what ends the standing of a dead server, within its bounds (standing.hpp).
// A text that is no UTF-8, or half a surrogate pair, is repaired. What the host does not take even so is refused, and
//   lost.
#pragma once

#include <deque>
#include <gantry/mutex.hpp>
#include <gantry/plugin.hpp>
#include <gantry/repair.hpp>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace gantry::lsp {

class Editor {
 public:
  enum class Sent { ok, blocked, refused, gone };

  explicit Editor(Call call) : origin_(call.origin()), id_(call.id()), call_(std::move(call)) {}

  /// `refused`: `text` is as it was.
  [[nodiscard]] Sent send(std::string& text) {
    if (auto repaired = repaired_json(text)) text.swap(*repaired);
    Lock lock(mutex_);
    if (!call_) return Sent::gone;
    if (waiting_.empty()) {
      const auto sent = call_->item_now(text);
      if (sent) return Sent::ok;
      if (sent.error().kind == ErrorKind::invalid_params) return Sent::refused;
      if (sent.error().kind != ErrorKind::overloaded) return Sent::gone;
    }
    waiting_.push_back(std::move(text));
    return Sent::blocked;
  }

  /// The editor gave credit, or has room. True: everything is sent, and the server may be heard again. `refused` gets
  /// what the host does not take.
  [[nodiscard]] bool credit(std::vector<std::string>& refused) {
    Lock lock(mutex_);
    while (call_ && !waiting_.empty()) {
      const auto sent = call_->item_now(waiting_.front());
      if (!sent && sent.error().kind == ErrorKind::overloaded) return false;
      if (!sent && sent.error().kind == ErrorKind::invalid_params) refused.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
    return true;
  }

  [[nodiscard]] bool blocked() const {
    Lock lock(mutex_);
    return !waiting_.empty();
  }

  void grant(std::uint32_t items) {
    Lock lock(mutex_);
    if (call_) call_->grant(items);
  }

  /// The stream's answer; only the first counts.
  void end(const Result<json>& result) {
    Lock lock(mutex_);
    if (!call_) return;
    call_->reply(result);
    call_.reset();
    waiting_.clear();
  }

  /// The stream is the next instance's, with the items that are returned.
  [[nodiscard]] Result<std::vector<std::string>> give(const Stopping& stopping) {
    Lock lock(mutex_);
    if (!call_) return fail(ErrorKind::unavailable, "the editor has gone");
    auto unsent = stopping.give(*call_);
    if (!unsent) return unsent;
    unsent->insert(unsent->end(), std::make_move_iterator(waiting_.begin()), std::make_move_iterator(waiting_.end()));
    waiting_.clear();
    call_.reset();
    return unsent;
  }
  /// First of all.
  void restore(std::vector<std::string> unsent) {
    Lock lock(mutex_);
    waiting_.assign(std::make_move_iterator(unsent.begin()), std::make_move_iterator(unsent.end()));
  }

  [[nodiscard]] std::uint64_t origin() const { return origin_; }
  /// Its stream's id, which stays when it is given.
  [[nodiscard]] std::uint64_t call() const { return id_; }

 private:
  const std::uint64_t origin_, id_;
  mutable Mutex mutex_;
  std::optional<Call> call_ GANTRY_GUARDED_BY(mutex_);
  std::deque<std::string> waiting_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::lsp
