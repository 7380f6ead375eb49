// SPDX-License-Identifier: Apache-2.0
//
// A run leaves runs_ before it answers, so that who asks again then starts another one; it is joined by the next call
// that finds it over, or by stop().
#include "host/processes/key_commands.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <system_error>
#include <utility>

#include "host/calls/request_params.hpp"

namespace gantry::host {

namespace {

constexpr auto kExitGrace = std::chrono::seconds(1);

std::unexpected<Error> no_key(const std::string& why) { return fail(ErrorKind::unavailable, "api_key_command " + why); }

std::vector<std::string> environment() {
  std::vector<std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) out.emplace_back(*entry);
  return out;
}

void signal_stop(const Descriptor& stop) {
  const std::uint64_t one = 1;
  (void)!::write(stop.get(), &one, sizeof one);
}

enum class Ended : std::uint8_t { output, too_much, time, stopped };

// Reads until the end of the output, the bound, the time or the stop, whichever is first.
Ended read_output(int fd, int stop, Duration timeout, std::string& text) {
  const auto until = std::chrono::steady_clock::now() + timeout;
  while (text.size() <= KeyCommands::kMaxOutput) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0) return Ended::time;
    pollfd fds[2] = {{fd, POLLIN, 0}, {stop, POLLIN, 0}};
    const int ready = ::poll(fds, 2, static_cast<int>(left.count()));
    if (ready < 0 && errno != EINTR) return Ended::output;
    if (ready <= 0) continue;
    if (fds[1].revents != 0) return Ended::stopped;
    char buffer[4096];
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Ended::output;
    text.append(buffer, static_cast<std::size_t>(got));
  }
  return Ended::too_much;
}

// One that has closed its output has a moment to end by itself, and may leave an agent running; else its group is
// ended, also when the shell itself has ended already: until it is waited for the group's number is its own.
siginfo_t reap(const Spawned& process, int stop, bool has_closed) {
  if (has_closed) {
    pollfd fds[2] = {{process.pidfd, POLLIN, 0}, {stop, POLLIN, 0}};
    const auto timeout = std::chrono::duration_cast<std::chrono::milliseconds>(kExitGrace);
    (void)::poll(fds, 2, static_cast<int>(timeout.count()));
  }
  pollfd ended{process.pidfd, POLLIN, 0};
  if (!has_closed || ::poll(&ended, 1, 0) != 1) (void)::kill(-process.pid, SIGKILL);
  siginfo_t info{};
  while (::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(process.pidfd), &info, WEXITED) != 0) {
    if (errno != EINTR) break;
  }
  (void)::close(process.pidfd);
  return info;
}

Result<std::string> first_line(std::string text) {
  text.resize(std::min(text.size(), text.find_first_of("\r\n")));
  const auto is_odd = [](unsigned char c) { return (c < ' ' && c != '\t') || c >= 0x7F; };
  if (std::any_of(text.begin(), text.end(), is_odd))
    return no_key("printed bytes on its first line that an HTTP header cannot carry");
  return text;
}

Result<std::string> run_command(Spawner& spawner, const std::string& line, int stop, Duration timeout) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return no_key("cannot be run: " + std::string(std::strerror(errno)));
  const Descriptor output(ends[0]);
  Descriptor input(ends[1]);
  SpawnRequest request;
  request.program = "/bin/sh";
  request.argv = {"sh", "-c", line};
  request.environment = environment();
  request.descriptors = {-1, input.get(), -1};
  const auto process = spawner.spawn(request);
  input.close();
  if (!process) return no_key("cannot be run: " + process.error().message);
  std::string text;
  const Ended ended = read_output(output.get(), stop, timeout, text);
  const siginfo_t info = reap(*process, stop, ended == Ended::output);
  if (ended == Ended::too_much) return no_key("printed more than 16 KiB and was ended");
  if (ended == Ended::time) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(timeout).count();
    return no_key("gave no key within " + std::to_string(seconds) + " s and was ended");
  }
  if (ended == Ended::stopped) return no_key("was ended: the host is stopping");
  if (info.si_code != CLD_EXITED) return no_key("was ended by a signal");
  if (info.si_status != 0) return no_key("failed with exit status " + std::to_string(info.si_status));
  return first_line(std::move(text));
}

}  // namespace

ManifestMethod KeyCommands::method() {
  ManifestMethod out;
  out.name = kMethod;
  out.summary = "For the plugin of models: what a provider's api_key_command prints";
  out.params = {{"type", "object"}, {"properties", {{"provider", {{"type", "string"}}}}}, {"required", {"provider"}}};
  out.result = json::object();
  out.keeps_time = true;
  return out;
}

void KeyCommands::call(const CallRequest& request, const std::shared_ptr<CallSink>& sink) {
  if (auto asked = ask(request, sink); !asked) sink->answered(std::unexpected(std::move(asked.error())));
}

Result<void> KeyCommands::ask(const CallRequest& request, const std::shared_ptr<CallSink>& sink) {
  const auto provider = only_param(request, "provider");
  if (!provider) return std::unexpected(provider.error());
  const auto line = line_of_(request.origin, *provider);
  if (!line) return std::unexpected(line.error());
  Descriptor stop(::eventfd(0, EFD_CLOEXEC));
  if (!stop) return fail(ErrorKind::overloaded, "the system gives no descriptor for api_key_command; try again later");
  std::vector<std::unique_ptr<Run>> over;  // joined when the lock is free again
  Lock lock(mutex_);
  if (stopping_) return fail(ErrorKind::unavailable, "the host is stopping");
  over = take_over();
  if (const auto running = runs_.find(*line); running != runs_.end()) {
    running->second->askers.push_back({request.origin, sink});
    return {};
  }
  if (runs_.size() + ended_.size() >= kMaxRunning)
    return fail(ErrorKind::overloaded, std::to_string(kMaxRunning) + " commands for keys run already; try again later",
                R"({"retry_after_ms":1000})");
  auto& run = *runs_.emplace(*line, std::make_unique<Run>()).first->second;
  run.stop = std::move(stop);
  run.askers.push_back({request.origin, sink});
  try {
    run.thread = std::thread([this, line = *line, &run] { serve(line, run); });
  } catch (const std::system_error&) {
    runs_.erase(*line);
    return fail(ErrorKind::overloaded, "the system gives no thread for api_key_command; try again later");
  }
  return {};
}

void KeyCommands::serve(const std::string& line, Run& run) {
  Result<std::string> secret = no_key("cannot be run: out of memory");
  try {
    secret = run_command(spawner_, line, run.stop.get(), timeout_);
    if (secret) secret = dump_json({{"secret", *secret}});
  } catch (const std::bad_alloc&) {
    // Told as it is.
  }
  std::vector<Asker> askers;
  {
    Lock lock(mutex_);
    end(line, run);
    askers.swap(run.askers);
  }
  for (const auto& asker : askers)
    asker.sink->answered(secret ? Result<Answer>(*secret) : std::unexpected(secret.error()));
  askers.clear();
  Lock lock(mutex_);
  run.over = true;
}

// From now on who asks for the line starts another run.
void KeyCommands::end(const std::string& line, const Run& run) {
  const auto it = runs_.find(line);
  if (it == runs_.end() || it->second.get() != &run) return;
  ended_.push_back(std::move(it->second));
  runs_.erase(it);
}

// Those whose threads have nothing more to do.
std::vector<std::unique_ptr<KeyCommands::Run>> KeyCommands::take_over() {
  std::vector<std::unique_ptr<Run>> out;
  for (auto& run : ended_) {
    if (run->over) out.push_back(std::move(run));
  }
  std::erase(ended_, nullptr);
  return out;
}

void KeyCommands::leave(OriginId origin) {
  std::vector<Asker> left;
  {
    Lock lock(mutex_);
    for (auto it = runs_.begin(); it != runs_.end();) {
      auto& askers = it->second->askers;
      const auto gone =
          std::partition(askers.begin(), askers.end(), [&](const Asker& asker) { return asker.origin != origin; });
      std::move(gone, askers.end(), std::back_inserter(left));
      askers.erase(gone, askers.end());
      if (!askers.empty()) {
        ++it;
        continue;
      }
      signal_stop(it->second->stop);
      ended_.push_back(std::move(it->second));
      it = runs_.erase(it);
    }
  }
  for (const auto& asker : left) asker.sink->answered(fail(ErrorKind::cancelled, "who asked for the key has left"));
}

void KeyCommands::stop() {
  std::vector<std::unique_ptr<Run>> all;
  {
    Lock lock(mutex_);
    stopping_ = true;
    for (auto& [line, run] : runs_) {
      signal_stop(run->stop);
      ended_.push_back(std::move(run));
    }
    runs_.clear();
    all.swap(ended_);
  }
  all.clear();
}

}  // namespace gantry::host
