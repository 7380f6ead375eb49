// SPDX-License-Identifier: Apache-2.0
//
// gantry/detail/mpsc_ops.hpp: the operations of an mpsc channel that may wait, in the form that
// gantry/waiting.hpp requires. They live in the frame of the waiting code; members that the core's
// lock guards are marked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <gantry/result.hpp>
#include <gantry/waiting.hpp>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace gantry::mpsc::detail {

using gantry::detail::NodeList;

[[nodiscard]] inline std::unexpected<Error> full() { return fail(ErrorKind::overloaded, "full"); }
[[nodiscard]] inline std::unexpected<Error> closed() { return fail(ErrorKind::unavailable, "closed"); }

template <class T>
class Core;

enum class Put : std::uint8_t { done, full, closed };

/// A send that may wait: the first `accepted()` of its values are in the channel.
template <class T>
class SendOp {
 public:
  explicit SendOp(Core<T>* core)
      : core_(core) {}  // NOLINT(cppcoreguidelines-pro-type-member-init): it is on the fast path

  /// For a single value.
  bool poll(T& value) {
    if (core_ == nullptr) return closed_ = true;
    if (std::exchange(tried_, true) && core_->looks_full()) return false;
    const Put put = core_->put_one(value);
    closed_ = put == Put::closed;
    return put != Put::full;
  }
  bool poll(std::span<T> values) {
    if (core_ == nullptr) return closed_ = true;
    if (std::exchange(tried_, true) && core_->looks_full()) return false;
    const auto put = core_->try_put(values.subspan(accepted_));
    accepted_ += put.count;
    closed_ = put.state == Put::closed;
    return put.state != Put::full;
  }
  bool start(std::span<T> values, Waiter& waiter) { return core_->enter(*this, values.subspan(accepted_), waiter); }
  bool cancel() { return core_->withdraw(*this); }
  Result<void> finish(WaitEnd end) {
    if (closed_) return detail::closed();
    if (unfinished_) return wait_failed(end);
    return {};
  }
  [[nodiscard]] std::size_t accepted() const { return accepted_; }

 private:
  friend class Core<T>;
  friend class NodeList<SendOp>;
  Core<T>* core_;
  std::size_t accepted_ = 0;
  // Set by enter().
  SendOp* next;
  SendOp* prev;
  Waiter* waiter_;  ///< nullptr while the operation only enters
  T* rest_;
  std::size_t rest_size_;
  bool tried_ = false;
  // Guarded by the core's lock while the operation waits.
  bool closed_ = false;
  bool cancelled_ = false;
  bool linked_ = false;
  bool unfinished_ = false;  ///< the wait ended before all was accepted
};

template <class T>
class RecvOp {
 public:
  explicit RecvOp(Core<T>* core) : core_(core) {}
  bool poll() { return core_ == nullptr || core_->readable(); }
  bool start(Waiter& waiter) { return core_->enter(*this, waiter); }
  bool cancel() { return core_->withdraw(*this); }
  std::optional<T> take() { return core_ == nullptr ? std::nullopt : core_->take(); }
  std::size_t take_many(std::vector<T>& out, std::size_t max) {
    return core_ == nullptr ? 0 : core_->take_many(out, max);
  }

 private:
  friend class Core<T>;
  Core<T>* core_;
  Waiter* waiter_ = nullptr;
  bool cancelled_ = false;  ///< guarded by the core's lock
};

}  // namespace gantry::mpsc::detail
