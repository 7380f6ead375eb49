// SPDX-License-Identifier: Apache-2.0
//
// keys.hpp: a provider's key, read when it is needed.
//
// A variable and a file are read each time. A command is run by the host, wherever this plugin runs; what it prints is
// kept until the provider refuses it (`forget`) or the ring dies. Keys appear in no message.
//
// Thread rule: one thread; `wake` is called where the host's answer arrives, perhaps after the ring has gone.
// Bounds: a key is at most kMaxKey bytes; a command is asked for once at a time.
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

/// Could the key be had, as far as that can be told without reading it? For people: the reason why not.
[[nodiscard]] Result<void> key_available(const KeySource& source);

/// Has the host run the api_key_command of this provider. `done` is called once, on any thread, perhaps at once.
using RunKeyCommand =
    std::function<void(const std::string& provider, std::function<void(Result<std::string> printed)> done)>;

class KeyRing {
 public:
  KeyRing(RunKeyCommand run, std::function<void()> wake) : run_(std::move(run)), wake_(std::move(wake)) {}
  KeyRing(const KeyRing&) = delete;
  KeyRing& operator=(const KeyRing&) = delete;
  /// The key (empty: the provider has none) or why there is none. No value: a command is running, ask again when woken.
  [[nodiscard]] std::optional<Result<std::string>> get(const ProviderConfig& provider);
  /// The provider has refused it.
  void forget(const ProviderConfig& provider);

 private:
  struct Command;
  [[nodiscard]] std::optional<Result<std::string>> of_command(const ProviderConfig& provider);

  const RunKeyCommand run_;
  const std::function<void()> wake_;
  std::map<std::string, std::shared_ptr<Command>> commands_;  ///< by the providers' names
};

}  // namespace gantry::ai
