// SPDX-License-Identifier: Apache-2.0
//
// editor.hpp: the editor's end of an attach stream; or a guest (guest.hpp), who takes each item at once.
//
// Thread rule: any thread. The lock is held over the sdk's item and answer functions, which neither
//   block nor call back: so items of several threads keep one order.
// Bounds: an item that the editor does not take now, for want of credit or of room, is kept; from
//   then on `send` returns `blocked`, and the server's output is not read until `credit()` reports
//   that the kept items are gone. If other editors share the server, its output is read on, until
//   `kept_bytes()` are too many (attach.hpp). The plugin's own answers may still be added: each answers a
//   request of the editor, whose number is bounded by the credit that the plugin gives. So may the
//   messages that end the state of a dead server, within its bounds (standing.hpp).
// Text that is no UTF-8, or half a surrogate pair, is repaired. An item that the host refuses even
// so is lost.
#pragma once

#include <deque>
#include <functional>
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

  explicit Editor(Call call) : id_(call.id()), origin_(call.origin()), call_(std::move(call)) {}
  /// An editor whose stream was handed over, and has not come yet: items are kept for it. `id`: of the stream.
  explicit Editor(std::uint64_t id) : id_(id), awaited_(true) {}

  /// A guest. The functions are called with the lock held, and do not call back.
  Editor(std::function<void(std::string)> receive, std::function<void(const Result<json>&)> ended)
      : id_(0), receive_(std::move(receive)), ended_(std::move(ended)) {}

  /// `refused`: `text` is unchanged.
  [[nodiscard]] Sent send(std::string& text) {
    if (auto repaired = repaired_json(text)) text.swap(*repaired);
    Lock lock(mutex_);
    if (receive_) {
      receive_(std::move(text));
      return Sent::ok;
    }
    if (!call_ && !awaited_) return Sent::gone;
    if (call_ && waiting_.empty()) {
      const auto sent = call_->item_now(text);
      if (sent) ++taken_;
      if (sent) return Sent::ok;
      if (sent.error().kind == ErrorKind::invalid_params) return Sent::refused;
      if (sent.error().kind != ErrorKind::overloaded) return Sent::gone;
    }
    bytes_ += text.size();
    waiting_.push_back(std::move(text));
    return Sent::blocked;
  }

  /// The editor gave credit, or has room. True: everything is sent, and the server may be read
  /// again. `refused` gets the items that the host refused.
  [[nodiscard]] bool credit(std::vector<std::string>& refused) {
    Lock lock(mutex_);
    while (call_ && !waiting_.empty()) {
      const auto sent = call_->item_now(waiting_.front());
      if (!sent && sent.error().kind == ErrorKind::overloaded) return false;
      bytes_ -= waiting_.front().size();
      ++taken_;
      if (!sent && sent.error().kind == ErrorKind::invalid_params) refused.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
    return true;
  }

  [[nodiscard]] bool blocked() const {
    Lock lock(mutex_);
    return !waiting_.empty();
  }

  /// The number of items that the editor has taken so far.
  [[nodiscard]] std::uint64_t taken() const {
    Lock lock(mutex_);
    return taken_;
  }

  /// Of the items that are kept.
  [[nodiscard]] std::size_t kept_bytes() const {
    Lock lock(mutex_);
    return bytes_;
  }

  void grant(std::uint32_t items) {
    Lock lock(mutex_);
    if (call_) call_->grant(items);
  }

  /// Answers the stream; only the first answer counts.
  void end(const Result<json>& result) {
    Lock lock(mutex_);
    awaited_ = false;
    waiting_.clear();
    bytes_ = 0;
    if (std::exchange(receive_, nullptr)) ended_(result);
    if (!call_) return;
    call_->reply(result);
    call_.reset();
  }

  /// Gives the stream to the next instance, and returns the items that have to be sent there.
  [[nodiscard]] Result<std::vector<std::string>> give(const Stopping& stopping) {
    Lock lock(mutex_);
    if (!call_) return fail(ErrorKind::unavailable, "the editor has gone");
    auto unsent = stopping.give(*call_);
    if (!unsent) return unsent;
    unsent->insert(unsent->end(), std::make_move_iterator(waiting_.begin()), std::make_move_iterator(waiting_.end()));
    waiting_.clear();
    bytes_ = 0;
    call_.reset();
    return unsent;
  }
  /// The awaited stream has come. `unsent`: what give() has returned, which goes before all other items.
  void restore(Call call, std::vector<std::string> unsent) {
    Lock lock(mutex_);
    awaited_ = false;
    origin_ = call.origin();
    call_.emplace(std::move(call));
    for (const auto& text : unsent) bytes_ += text.size();
    waiting_.insert(waiting_.begin(), std::make_move_iterator(unsent.begin()), std::make_move_iterator(unsent.end()));
  }
  [[nodiscard]] bool awaited() const {
    Lock lock(mutex_);
    return awaited_;
  }

  [[nodiscard]] std::uint64_t origin() const {
    Lock lock(mutex_);
    return origin_;
  }
  /// The id of the stream, which stays when the stream is given away.
  [[nodiscard]] std::uint64_t call() const { return id_; }

 private:
  const std::uint64_t id_;
  mutable Mutex mutex_;
  std::uint64_t origin_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool awaited_ GANTRY_GUARDED_BY(mutex_) = false;
  std::size_t bytes_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::uint64_t taken_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::optional<Call> call_ GANTRY_GUARDED_BY(mutex_);
  std::function<void(std::string)> receive_ GANTRY_GUARDED_BY(mutex_);  ///< null: it is no guest, or has been ended
  const std::function<void(const Result<json>&)> ended_;
  std::deque<std::string> waiting_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::lsp
