// SPDX-License-Identifier: Apache-2.0
//
// keys.hpp: a provider's key, read when it is needed.
//
// A variable and a file are read each time. A command (`sh -c`) runs on a thread of its own; its first line of output
// is the key, kept until the provider refuses it (`forget`) or the ring dies. Keys appear in no message.
//
// Thread rule: one thread; `wake` is called on a command's thread when its answer is there.
// Bounds: a key is at most kMaxKey bytes; a command has kCommandTime of real time, then its process group is killed.
#pragma once

#include <functional>
#include <gantry/result.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "config.hpp"

namespace gantry::ai {

inline constexpr std::size_t kMaxKey = 16 * 1024;
inline constexpr Duration kCommandTime = std::chrono::seconds(10);

/// Could the key be had, as far as that can be told without reading it? For people: the reason why not.
[[nodiscard]] Result<void> key_available(const KeySource& source);

class KeyRing {
 public:
  explicit KeyRing(std::function<void()> wake);
  KeyRing(const KeyRing&) = delete;
  KeyRing& operator=(const KeyRing&) = delete;
  /// Kills commands that run and joins their threads.
  ~KeyRing();

  /// The key (empty: the provider has none) or why there is none. No value: a command is running, ask again when woken.
  [[nodiscard]] std::optional<Result<std::string>> get(const KeySource& source);
  /// The provider has refused it.
  void forget(const KeySource& source);

 private:
  struct Command;
  std::function<void()> wake_;
  std::map<std::string, std::unique_ptr<Command>> commands_;
};

}  // namespace gantry::ai
