// SPDX-License-Identifier: Apache-2.0
//
// host/processes/helper.hpp: one helper process of a plugin, behind its guard (helper_guard.hpp),
// and the host's copies of the descriptors that are connected to it.
//
// Thread rule: start() on a thread that may block; the rest from any thread.
// Never: a process of the helper lives on after this object is destroyed and the guard has ended,
// which it does at once.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <gantry/descriptor.hpp>
#include <gantry/json.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/runtime/spawner.hpp"
#include "host/sandbox/confine.hpp"

namespace gantry::host {

/// The program that a plugin wants to run.
struct HelperCommand {
  std::vector<std::string> argv;
  std::string cwd;  ///< absolute; empty: the plugin's own folder
  std::map<std::string, std::string> environment;
  bool one_socket = false;  ///< stdin and stdout are one socket
  std::vector<std::string> read;
  std::vector<std::string> write;
  bool network = false;
  std::optional<std::int64_t> max_memory_mib;
  bool operator==(const HelperCommand&) const = default;
};

/// How the helper ended.
struct HelperEnd {
  std::optional<int> exit_code;
  std::optional<int> signal;
};
[[nodiscard]] json to_json(const HelperEnd& end);

class Helper {
 public:
  static constexpr std::size_t kMaxRequest = std::size_t{1} << 20;  ///< bytes of a command with all its parts
  static constexpr auto kTimeout = std::chrono::seconds(30);

  /// Blocks until the program runs, or the reason why it does not is known: `not_found`,
  /// `permission_denied`, `invalid_params` (cwd), `too_large`, `overloaded`, `unavailable`.
  /// `granted`: the rights of the plugin; the helper gets those of them that it asks for. `gantry`:
  /// the program of the guard.
  [[nodiscard]] static Result<std::shared_ptr<Helper>> start(Spawner& spawner, const std::filesystem::path& gantry,
                                                             const HelperCommand& command, const Confinement& granted,
                                                             const std::string& traceparent);
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;
  ~Helper();

  [[nodiscard]] pid_t pid() const { return pid_; }
  /// A descriptor that is readable when no process of the helper is left.
  [[nodiscard]] int guard() const { return guard_.get(); }
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
  /// The folders and files in which the helper may write: asked for by it, and granted to its
  /// plugin.
  [[nodiscard]] const std::vector<std::string>& writable() const { return writable_; }
  /// Duplicates of stdin, stdout and stderr; or of the socket and stderr. `overloaded`: the host
  /// may open no more.
  [[nodiscard]] Result<Descriptors> descriptors() const;
  /// Sends the signal to the helper's group. `overloaded`: the guard takes no more signals now.
  [[nodiscard]] Result<void> signal(int number) const;
  /// Kills all of its processes.
  void end() const;
  /// The end of the helper. Called once, after guard() was readable.
  [[nodiscard]] HelperEnd became() const;

 private:
  Helper() = default;
  [[nodiscard]] Result<void> handshake(std::string_view request);

  pid_t pid_ = -1;
  Descriptor guard_;
  Descriptor control_;
  Descriptors ends_;
  std::vector<std::string> notes_;
  std::vector<std::string> writable_;
};

}  // namespace gantry::host
