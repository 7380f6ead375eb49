// SPDX-License-Identifier: Apache-2.0
//
// keys.hpp: a provider's key, read when it is needed.
//
// A variable and a file are read each time. The host runs a command, wherever this plugin runs; its
// output is kept until the provider refuses it (`forget`), the configuration is read anew
// (`forget_all`) or the ring dies. Keys appear in no message.
//
// Each run of a command has a number. A refused request forgets the run that its own key came from,
// and no later one: of all requests that are refused with one key, the first has the command run
// again, and the others use the output of that run.
//
// Thread rule: one thread; `wake` is called on the thread of the host's answer, perhaps after the
// ring has gone.
// Bounds: a key is at most kMaxKey bytes; a command runs once at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <gantry/result.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "plugins/ai/config.hpp"

namespace gantry::ai {

inline constexpr std::size_t kMaxKey = 16 * 1024;

/// Checks that the key can be had, as far as that is possible without reading it. The error is the
/// reason, for people.
[[nodiscard]] Result<void> key_available(const KeySource& source);

/// Has the host run the api_key_command of this provider. `done` is called once, on any thread,
/// perhaps within the call.
using RunKeyCommand =
    std::function<void(const std::string& provider, std::function<void(Result<std::string> printed)> done)>;

struct Key {
  std::string text;       ///< empty: the provider has no key
  std::uint64_t run = 0;  ///< the number of the command's run that printed the key; 0: no command
};

class KeyRing {
 public:
  KeyRing(RunKeyCommand run, std::function<void()> wake) : run_(std::move(run)), wake_(std::move(wake)) {}
  KeyRing(const KeyRing&) = delete;
  KeyRing& operator=(const KeyRing&) = delete;
  /// The key, or why there is none. No value: a command is running, call again when woken.
  /// `waited`: if a run has failed, return its error; else run the command again.
  [[nodiscard]] std::optional<Result<Key>> get(const ProviderConfig& provider, bool waited);
  /// The provider has refused the key of this run.
  void forget(const ProviderConfig& provider, std::uint64_t run);
  /// Forgets the output of all commands. Commands that run go on.
  void forget_all();

 private:
  struct Command;
  /// By the provider's name and its command line.
  using Commands = std::map<std::pair<std::string, std::string>, std::shared_ptr<Command>>;
  [[nodiscard]] std::optional<Result<Key>> of_command(const ProviderConfig& provider, bool waited);
  [[nodiscard]] std::shared_ptr<Command> run(const ProviderConfig& provider);

  const RunKeyCommand run_;
  const std::function<void()> wake_;
  std::uint64_t last_run_ = 0;
  Commands commands_;
};

}  // namespace gantry::ai
