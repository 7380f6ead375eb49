// SPDX-License-Identifier: Apache-2.0
//
// host/processes/helper.hpp: one helper process of a plugin, behind its guard (helper_guard.hpp),
// and the host's copies of the descriptors that lead to it.
//
// Thread rule: start() on a thread that may block; the rest from any thread.
// Never: anything of the helper's lives on when this is destroyed and its guard has ended, which it does at once.
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

/// What a plugin wants to run.
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

/// How it ended.
struct HelperEnd {
  std::optional<int> exit_code;
  std::optional<int> signal;
};
[[nodiscard]] json to_json(const HelperEnd& end);

class Helper {
 public:
  static constexpr std::size_t kMaxRequest = std::size_t{1} << 20;  ///< bytes of a command with all that belongs to it
  static constexpr auto kTimeout = std::chrono::seconds(30);

  /// Blocks until the program runs, or why it does not is known: `not_found`, `permission_denied`, `invalid_params`
  /// (cwd), `too_large`, `overloaded`, `unavailable`. `granted`: what its plugin may; the helper may of it what it asks
  /// for. `gantry`: what the guard is.
  [[nodiscard]] static Result<std::shared_ptr<Helper>> start(Spawner& spawner, const std::filesystem::path& gantry,
                                                             const HelperCommand& command, const Confinement& granted,
                                                             const std::string& traceparent);
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;
  ~Helper();

  [[nodiscard]] pid_t pid() const { return pid_; }
  /// Readable when nothing is left of it.
  [[nodiscard]] int guard() const { return guard_.get(); }
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
  /// The folders and files in which it may write: as far as it asked for them and its plugin was granted them.
  [[nodiscard]] const std::vector<std::string>& writable() const { return writable_; }
  /// Of stdin, stdout and stderr; of the socket and stderr. `overloaded`: the host has no more.
  [[nodiscard]] Result<Descriptors> descriptors() const;
  /// To its group. `overloaded`: its guard takes no more now.
  [[nodiscard]] Result<void> signal(int number) const;
  /// Kills all of it.
  void end() const;
  /// Once, after guard() was readable.
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
