// SPDX-License-Identifier: Apache-2.0
//
// gantry/plugin/process.hpp: helper processes, which the host starts for a plugin that has the grant `processes`: a
// plugin in a process of its own cannot start any itself. They run with no more than the plugin was granted, and of
// that with what is asked for here.
//
//   gantry::spawn_process(host, {.name = "server", .argv = {"clangd"}, .cwd = root, .read = {root}},
//                         [](gantry::Result<gantry::HelperProcess> server) { ... });
//
// Thread rule: any thread, as Host; `done` runs serially with the plugin's handlers.
// Bounds: 112 helpers of a plugin, 256 of a host. One that no instance of the plugin has asked for is killed after a
//   minute; all of them die with the host.
// Never: anything that a helper has started lives on after await_process() has returned its end.
#pragma once

#include <cstdint>
#include <functional>
#include <gantry/plugin/host.hpp>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace gantry {

struct ProcessRequest {
  std::string name{};                        ///< the plugin's own name for it
  std::vector<std::string> argv{};           ///< a program, on the PATH or by its path, and its arguments
  std::string cwd{};                         ///< empty: the plugin's own folder
  std::map<std::string, std::string> env{};  ///< besides what every process needs: PATH, HOME, ...
  bool one_socket = false;                   ///< stdin and stdout are one socket
  std::vector<std::string> read{};           ///< folders and files, besides the system's and the plugin's own folder
  std::vector<std::string> write{};
  bool network = false;
  std::optional<std::int64_t> max_memory_mib{};
};

struct HelperProcess {
  std::string name;
  int pid = -1;
  bool warm = false;      ///< it ran already: an earlier call has started it, perhaps of an instance that is gone
  std::string note = {};  ///< what that one has noted (note_process)
  std::vector<std::string> write = {};  ///< where it may write: what was asked for and is granted, as of its start
  Descriptor
      input;  ///< a socket. The host keeps a copy of it: shutdown(SHUT_WR) ends the helper's input, close() does not
  Descriptor output;  ///< a pipe; with `one_socket` nothing: it is `input`
  Descriptor errors;  ///< a pipe
};

struct ProcessEnd {
  std::optional<int> exit_code;
  std::optional<int> signal;
};

/// The helper that runs under this name, or a new one. `done`: `not_found`, no such program; `permission_denied`, the
/// plugin may not; `conflict`, another command runs under this name; `overloaded`, too many run. An error here: the
/// call was not made, and `done` is not run.
inline Result<void> spawn_process(const Host& host, const ProcessRequest& request,
                                  std::move_only_function<void(Result<HelperProcess>)> done) {
  json params{{"name", request.name}, {"argv", request.argv}, {"network", request.network}};
  if (!request.cwd.empty()) params["cwd"] = request.cwd;
  if (!request.env.empty()) params["env"] = request.env;
  if (request.one_socket) params["stdio"] = "socket";
  if (!request.read.empty()) params["read"] = request.read;
  if (!request.write.empty()) params["write"] = request.write;
  if (request.max_memory_mib) params["max_memory_mib"] = *request.max_memory_mib;
  auto answered = [one = request.one_socket, run = std::move(done)](Result<CallAnswer> answer) mutable {
    if (!answer) return run(std::unexpected(answer.error()));
    auto& fds = answer->descriptors;
    if (fds.size() != (one ? 2U : 3U))
      return run(fail(ErrorKind::unavailable, "the descriptors of the helper did not come with it"));
    HelperProcess out;
    out.name = answer->value.value("name", "");
    out.pid = answer->value.value("pid", -1);
    out.warm = answer->value.value("warm", false);
    out.note = answer->value.value("note", "");
    out.write = answer->value.value("write", std::vector<std::string>{});
    out.input = std::move(fds.front());
    if (!one) out.output = std::move(fds[1]);
    out.errors = std::move(fds.back());
    run(std::move(out));
  };
  auto made = host.call("process.spawn", params, {}, std::move(answered));
  return made ? Result<void>() : std::unexpected(made.error());
}

/// `done` runs when the helper has ended: perhaps never. `not_found`: there was none, or its end is long ago.
inline Result<void> await_process(const Host& host, const std::string& name,
                                  std::move_only_function<void(Result<ProcessEnd>)> done) {
  auto made =
      host.call("process.wait", {{"name", name}}, {}, [run = std::move(done)](Result<CallAnswer> answer) mutable {
        if (!answer) return run(std::unexpected(answer.error()));
        ProcessEnd end;
        if (answer->value.contains("exit_code")) end.exit_code = answer->value["exit_code"].get<int>();
        if (answer->value.contains("signal")) end.signal = answer->value["signal"].get<int>();
        run(end);
      });
  return made ? Result<void>() : std::unexpected(made.error());
}

/// What the next instance is to know of it if this one dies: it gets the last note with the helper, and in
/// `process.list`. Where it does not run in a process of its own it gets none: a thread of this one may live on then.
/// At most 64 KiB.
inline void note_process(const Host& host, const std::string& name, const std::string& note) {
  (void)host.call("process.note", {{"name", name}, {"note", note}}, {}, nullptr);
}

/// To its group; SIGKILL ends all that it has started as well.
inline void signal_process(const Host& host, const std::string& name, int signal) {
  (void)host.call("process.kill", {{"name", name}, {"signal", signal}}, {}, nullptr);
}

}  // namespace gantry
