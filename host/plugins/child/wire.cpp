// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/child/wire.hpp"

#include <array>
#include <cstring>

namespace gantry::host::wire {

namespace {

struct Head {
  std::uint32_t size;  ///< of the whole frame
  std::uint16_t kind;
  std::uint16_t flags;
  std::uint64_t id;
  std::int32_t status;
  std::uint32_t credit;
  std::int64_t budget_ns;
  std::uint64_t origin;
  std::uint32_t encoding;
  std::uint32_t topic;
  std::uint32_t traceparent;
  std::uint32_t idempotency_key;
  std::uint32_t payload;
  std::uint32_t epoch;
  std::uint32_t descriptors;
  std::uint32_t reserved;
};

using Parts = std::array<const gantry_bytes*, 5>;
[[nodiscard]] Parts parts_of(const gantry_msg& msg) {
  return {&msg.topic, &msg.traceparent, &msg.idempotency_key, &msg.payload, &msg.epoch};
}

}  // namespace

std::size_t size_of(const gantry_msg& msg) {
  std::size_t size = sizeof(Head);
  for (const auto* part : parts_of(msg)) size += part->size;
  return size;
}

void append(std::string& out, const gantry_msg& msg, std::size_t descriptors) {
  const auto length = [](const gantry_bytes& bytes) { return static_cast<std::uint32_t>(bytes.size); };
  const Head head{static_cast<std::uint32_t>(size_of(msg)),
                  msg.kind,
                  msg.flags,
                  msg.id,
                  msg.status,
                  msg.credit,
                  msg.budget_ns,
                  msg.origin,
                  msg.encoding,
                  length(msg.topic),
                  length(msg.traceparent),
                  length(msg.idempotency_key),
                  length(msg.payload),
                  length(msg.epoch),
                  static_cast<std::uint32_t>(descriptors),
                  0};
  out.append(reinterpret_cast<const char*>(&head), sizeof head);
  for (const auto* part : parts_of(msg)) {
    if (part->size != 0) out.append(part->data, part->size);
  }
}

char* Decoder::prepare(std::size_t size) {
  if (begin_ == end_) begin_ = end_ = 0;
  if (buffer_.size() - end_ < size) {
    buffer_.erase(0, begin_);
    end_ -= begin_;
    begin_ = 0;
    if (buffer_.size() - end_ < size) buffer_.resize(end_ + size);
  }
  return buffer_.data() + end_;
}

std::optional<Frame> Decoder::next() {
  if (broken_ || end_ - begin_ < sizeof(Head)) return std::nullopt;
  Head head;
  std::memcpy(&head, buffer_.data() + begin_, sizeof head);
  const std::uint64_t parts =
      std::uint64_t{head.topic} + head.traceparent + head.idempotency_key + head.payload + head.epoch;
  if (head.size > max_frame_ || head.size != sizeof(Head) + parts) {
    broken_ = true;
    return std::nullopt;
  }
  if (end_ - begin_ < head.size) return std::nullopt;
  const char* at = buffer_.data() + begin_ + sizeof head;
  const auto take = [&at](std::uint32_t size) {
    const gantry_bytes bytes{size == 0 ? nullptr : at, size};
    at += size;
    return bytes;
  };
  gantry_msg msg{};
  msg.size = sizeof msg;
  msg.kind = head.kind;
  msg.flags = head.flags;
  msg.id = head.id;
  msg.status = head.status;
  msg.credit = head.credit;
  msg.budget_ns = head.budget_ns;
  msg.origin = head.origin;
  msg.encoding = head.encoding;
  msg.topic = take(head.topic);
  msg.traceparent = take(head.traceparent);
  msg.idempotency_key = take(head.idempotency_key);
  msg.payload = take(head.payload);
  msg.epoch = take(head.epoch);
  begin_ += head.size;
  return Frame{msg, head.descriptors};
}

void Decoder::release() {
  constexpr std::size_t kKeep = 256 * 1024;
  if (begin_ == end_ && buffer_.size() > kKeep) {
    std::string().swap(buffer_);
    begin_ = end_ = 0;
  }
}

}  // namespace gantry::host::wire
