// SPDX-License-Identifier: Apache-2.0
//
// gantry/channel/spsc_ring.hpp: a ring buffer that carries samples from one real-time thread to one
// other thread.
//
//   gantry::SpscRing<float> ring(16384);
//   ring.write(samples);    // by the audio callback: wait-free, no allocation, no system call
//   ring.read(buffer);      // by the writer thread
//
// Thread rule: write() by one thread, read() by one other (or the same). The const functions may be
// called by any thread.
// Full: write() takes what fits, drops the rest and counts it as overrun: the newest values are
// lost, never stored ones.
// Empty: read() returns fewer values than asked for, or none. Neither side ever waits.
// Never: a value that write() has taken is lost, read twice, or read out of order.
// Source: Lamport's queue with each side caching the other's index, as in "B-Queue" and
// rigtorp/SPSCQueue; seed 004.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <gantry/detail/spin.hpp>
#include <memory>
#include <span>
#include <type_traits>

namespace gantry {

template <class T>
class SpscRing {
  static_assert(std::is_trivially_copyable_v<T>, "values are copied as bytes");

 public:
  /// Holds `capacity` values, rounded up to a power of two. Allocates here and nowhere else.
  explicit SpscRing(std::size_t capacity)
      : mask_(std::bit_ceil(std::max<std::size_t>(capacity, 2)) - 1), values_(std::make_unique<T[]>(mask_ + 1)) {}
  SpscRing(const SpscRing&) = delete;
  SpscRing& operator=(const SpscRing&) = delete;

  [[nodiscard]] std::size_t capacity() const noexcept { return mask_ + 1; }
  /// The number of values that are stored now; inexact while the other side works.
  [[nodiscard]] std::size_t size() const noexcept {
    const auto head = head_.load(std::memory_order_acquire);
    return static_cast<std::size_t>(tail_.load(std::memory_order_acquire) - head);
  }

  /// Writes the first values that fit; returns how many.
  std::size_t write(std::span<const T> values) noexcept {
    const auto tail = tail_.load(std::memory_order_relaxed);
    if (tail + values.size() > head_seen_ + capacity()) {
      head_seen_ = head_.load(std::memory_order_acquire);  // after this, values that were read may be overwritten
    }
    const std::size_t count = std::min(values.size(), capacity() - static_cast<std::size_t>(tail - head_seen_));
    const std::size_t at = static_cast<std::size_t>(tail) & mask_;
    const std::size_t first = std::min(count, capacity() - at);
    copy(&values_[at], values.data(), first);
    copy(&values_[0], values.data() + first, count - first);
    tail_.store(tail + count, std::memory_order_release);
    if (count < values.size()) [[unlikely]] {
      add(overruns_, 1);
      add(lost_, values.size() - count);
    }
    return count;
  }

  /// Reads up to out.size() values; returns how many.
  std::size_t read(std::span<T> out) noexcept {
    const auto head = head_.load(std::memory_order_relaxed);
    if (tail_seen_ - head < out.size()) tail_seen_ = tail_.load(std::memory_order_acquire);
    const std::size_t count = std::min(out.size(), static_cast<std::size_t>(tail_seen_ - head));
    const std::size_t at = static_cast<std::size_t>(head) & mask_;
    const std::size_t first = std::min(count, capacity() - at);
    copy(out.data(), &values_[at], first);
    copy(out.data() + first, &values_[0], count - first);
    head_.store(head + count, std::memory_order_release);
    return count;
  }

  /// overruns(): the number of writes that did not fit as a whole; lost(): the number of values
  /// that these lost.
  [[nodiscard]] std::uint64_t overruns() const noexcept { return overruns_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t lost() const noexcept { return lost_.load(std::memory_order_relaxed); }

 private:
  static void copy(T* to, const T* from, std::size_t count) noexcept {
    if (count != 0) std::memcpy(to, from, count * sizeof(T));
  }
  // Only one thread writes the counter, so a load and a store suffice.
  static void add(std::atomic<std::uint64_t>& counter, std::uint64_t n) noexcept {
    counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }

  const std::size_t mask_;
  const std::unique_ptr<T[]> values_;
  // The writer's cache line: its index, the last reader's index that it saw, its counters.
  alignas(detail::kCacheLine) std::atomic<std::uint64_t> tail_{0};
  std::uint64_t head_seen_ = 0;
  std::atomic<std::uint64_t> overruns_{0};
  std::atomic<std::uint64_t> lost_{0};
  // The reader's cache line.
  alignas(detail::kCacheLine) std::atomic<std::uint64_t> head_{0};
  std::uint64_t tail_seen_ = 0;
};

}  // namespace gantry
