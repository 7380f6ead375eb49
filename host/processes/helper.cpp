// SPDX-License-Identifier: Apache-2.0
#include "host/processes/helper.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <gantry/plugin/host.hpp>
#include <utility>

namespace gantry::host {

namespace {

/// Where the tools of a language lie, where they keep their things: helpers are such tools, and these hold no secrets.
constexpr std::array kOfToolchains{"CARGO_HOME",      "CONDA_PREFIX", "GOPATH",          "GOROOT",       "JAVA_HOME",
                                   "LD_LIBRARY_PATH", "NODE_PATH",    "NVM_DIR",         "PYTHONPATH",   "RUSTUP_HOME",
                                   "SHELL",           "VIRTUAL_ENV",  "XDG_CONFIG_HOME", "XDG_DATA_HOME"};

constexpr int kExitGraceMs = 2000;

struct Pair {
  Descriptor ours;
  Descriptor theirs;
};

[[nodiscard]] std::unexpected<Error> no_descriptors() {
  return fail(ErrorKind::overloaded, std::string("the system gives no descriptors for it: ") + std::strerror(errno));
}
// Writing to a helper that is gone raises no signal then, and shutdown() ends its input though the host keeps a copy.
[[nodiscard]] Result<Pair> socket_pair() {
  std::array<int, 2> fds{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) != 0) return no_descriptors();
  return Pair{Descriptor(fds[0]), Descriptor(fds[1])};
}
[[nodiscard]] Result<Pair> output_pipe() {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0) return no_descriptors();
  (void)::fcntl(fds[0], F_SETPIPE_SZ, 256 * 1024);  // as large as the system allows; 64 KiB do as well
  return Pair{Descriptor(fds[0]), Descriptor(fds[1])};
}

[[nodiscard]] std::vector<std::string> environment_of(const HelperCommand& command, const Confinement& granted,
                                                      const std::string& traceparent) {
  std::map<std::string, std::string> variables;
  for (const auto& entry : scrubbed_environment(granted)) {
    const auto equals = entry.find('=');
    variables[entry.substr(0, equals)] = entry.substr(equals + 1);
  }
  for (const char* name : kOfToolchains) {
    if (const char* value = std::getenv(name)) variables[name] = value;
  }
  if (!traceparent.empty()) variables["TRACEPARENT"] = traceparent;
  for (const auto& [name, value] : command.environment) variables[name] = value;
  std::vector<std::string> out;
  out.reserve(variables.size());
  for (const auto& [name, value] : variables) out.push_back(name + "=" + value);
  return out;
}

// What lies in both.
[[nodiscard]] std::vector<std::string> in_both(const std::vector<std::string>& some,
                                               const std::vector<std::string>& others) {
  std::vector<std::string> out;
  for (const auto& path : some) {
    if (!folder_around(others, path).empty()) out.push_back(path);
  }
  for (const auto& path : others) {
    if (!folder_around(some, path).empty() && std::ranges::find(out, path) == out.end()) out.push_back(path);
  }
  return out;
}

[[nodiscard]] json request_json(const HelperCommand& command, Confinement granted, const std::string& traceparent) {
  granted.processes = true;  // so far as it is confined: it may start programs
  granted.network = granted.network && command.network;
  if (command.max_memory_mib)
    granted.max_memory_mib =
        std::min(*command.max_memory_mib, granted.max_memory_mib.value_or(*command.max_memory_mib));
  Confinement asked = granted;
  asked.read = command.read;
  asked.write = command.write;
  return {{"argv", command.argv},
          {"cwd", command.cwd.empty() ? granted.folder : command.cwd},
          {"environment", environment_of(command, granted, traceparent)},
          {"granted", to_json(granted)},
          {"asked", to_json(asked)}};
}

}  // namespace

json to_json(const HelperEnd& end) {
  json out = json::object();
  if (end.exit_code) out["exit_code"] = *end.exit_code;
  if (end.signal) out["signal"] = *end.signal;
  return out;
}

Result<std::shared_ptr<Helper>> Helper::start(Spawner& spawner, const std::filesystem::path& gantry,
                                              const HelperCommand& command, const Confinement& granted,
                                              const std::string& traceparent) {
  const std::string line = dump_json(request_json(command, granted, traceparent)) + "\n";
  if (line.size() > kMaxRequest) return fail(ErrorKind::too_large, "the command and its environment are over 1 MiB");
  auto control = socket_pair();
  auto input = socket_pair();
  auto output = output_pipe();
  auto errors = output_pipe();
  for (const auto* pair : {&control, &input, &output, &errors}) {
    if (!*pair) return std::unexpected(pair->error());
  }
  SpawnRequest request;
  request.program = gantry;
  request.argv = {"gantry", "helper-guard", command.argv.front()};
  request.environment = scrubbed_environment(granted);
  request.descriptors = {input->theirs.get(), command.one_socket ? input->theirs.get() : output->theirs.get(),
                         errors->theirs.get(), control->theirs.get()};
  auto spawned = spawner.spawn(request);
  if (!spawned) return std::unexpected(spawned.error());
  std::shared_ptr<Helper> helper(new Helper());
  helper->guard_ = Descriptor(spawned->pidfd);
  helper->control_ = std::move(control->ours);
  helper->ends_.push_back(std::move(input->ours));
  if (!command.one_socket) helper->ends_.push_back(std::move(output->ours));
  helper->ends_.push_back(std::move(errors->ours));
  for (auto* pair : {&control, &input, &output, &errors}) (*pair)->theirs.close();
  if (auto ok = helper->handshake(line); !ok) return std::unexpected(ok.error());
  helper->writable_ = in_both(granted.write, command.write);
  return helper;
}

Result<void> Helper::handshake(std::string_view request) {
  const auto until = std::chrono::steady_clock::now() + kTimeout;
  const auto wait_for = [&](short events) {
    pollfd socket{control_.get(), events, 0};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
    return left > 0 && (::poll(&socket, 1, static_cast<int>(left)) > 0 || errno == EINTR);
  };
  const auto no_answer = [] { return fail(ErrorKind::unavailable, "the guard of the helper does not answer"); };
  for (std::string_view left = request; !left.empty();) {
    if (!wait_for(POLLOUT)) return no_answer();
    const ssize_t sent = ::send(control_.get(), left.data(), left.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) left.remove_prefix(static_cast<std::size_t>(sent));
    if (sent < 0 && errno != EINTR && errno != EAGAIN) return no_answer();
  }
  std::string line;
  while (!line.ends_with('\n')) {  // it says one line, and no other before the helper has ended
    if (!wait_for(POLLIN)) return no_answer();
    char byte = 0;
    const ssize_t got = ::recv(control_.get(), &byte, 1, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) return no_answer();
    if (got > 0) line += byte;
  }
  const auto answer = parse_json(line);
  if (!answer) return no_answer();
  if (answer->contains("error"))
    return fail(static_cast<ErrorKind>(answer->at("kind").get<int>()), answer->at("error").get<std::string>());
  pid_ = answer->at("pid");
  notes_ = answer->at("notes");
  return {};
}

Helper::~Helper() {
  control_.close();  // the guard's sign
  pollfd ended{guard_.get(), POLLIN, 0};
  if (::poll(&ended, 1, kExitGraceMs) == 0)  // it is frozen, say
    (void)::syscall(SYS_pidfd_send_signal, guard_.get(), SIGKILL, nullptr, 0);
  (void)became();
}

Result<Descriptors> Helper::descriptors() const {
  Descriptors out;
  for (const auto& end : ends_) {
    auto copy = Descriptor::duplicate(end.get());
    if (!copy) return std::unexpected(copy.error());
    out.push_back(std::move(*copy));
  }
  return out;
}

Result<void> Helper::signal(int number) const {
  const std::string line = dump_json({{"signal", number}}) + "\n";
  const ssize_t sent = ::send(control_.get(), line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent == static_cast<ssize_t>(line.size()) || (sent < 0 && errno != EAGAIN)) return {};  // or it has ended
  return fail(ErrorKind::overloaded, "the guard of the helper takes no signal now");
}

void Helper::end() const { (void)::shutdown(control_.get(), SHUT_WR); }

HelperEnd Helper::became() const {
  siginfo_t info{};
  (void)::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(guard_.get()), &info, WEXITED);
  std::string said(256, '\0');
  const ssize_t got = control_ ? ::recv(control_.get(), said.data(), said.size(), MSG_DONTWAIT) : -1;
  if (got <= 0) return {{}, SIGKILL};  // somebody has killed the guard, and the kernel with it the helper
  said.resize(static_cast<std::size_t>(got));
  HelperEnd out;
  if (const auto end = parse_json(said); end && end->is_object()) {
    if (end->contains("exit_code")) out.exit_code = end->at("exit_code").get<int>();
    if (end->contains("signal")) out.signal = end->at("signal").get<int>();
  }
  return out;
}

}  // namespace gantry::host
