// SPDX-License-Identifier: Apache-2.0
#include "host/check/check.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <gantry/descriptor.hpp>
#include <optional>
#include <utility>

#include "host/observe/printable.hpp"
#include "host/runtime/spawner.hpp"

extern char** environ;  // NOLINT(readability-redundant-declaration): C's

namespace gantry::host::check {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

/// A new folder, with what is in it.
class Folder {
 public:
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "gantry-check-XXXXXX").string();
    if (::mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

struct Pipe {
  Descriptor out;
  Descriptor in;
};
[[nodiscard]] std::optional<Pipe> make_pipe() {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0) return std::nullopt;
  return Pipe{Descriptor(fds[0]), Descriptor(fds[1])};
}

/// The environment of this process, but for where things are kept.
[[nodiscard]] std::vector<std::string> environment(const std::string& folder) {
  constexpr std::array kPlaces{"HOME=",           "TMPDIR=",        "XDG_STATE_HOME=", "XDG_CONFIG_HOME=",
                               "XDG_CACHE_HOME=", "XDG_DATA_HOME=", "XDG_RUNTIME_DIR="};
  std::vector<std::string> out;
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string_view variable(*at);
    if (std::none_of(kPlaces.begin(), kPlaces.end(), [&](const char* name) { return variable.starts_with(name); }))
      out.emplace_back(variable);
  }
  for (const char* name : kPlaces) out.push_back(name + folder);
  return out;
}

/// Lines from a descriptor; of a long one its beginning.
class Lines {
 public:
  /// False: it has ended.
  template <class F>
  [[nodiscard]] bool read(int fd, F each) {
    std::array<char, 65536> bytes{};
    const ssize_t got = ::read(fd, bytes.data(), bytes.size());
    if (got < 0) return errno == EINTR || errno == EAGAIN;
    for (const char c : std::string_view(bytes.data(), static_cast<std::size_t>(got))) {
      if (c != '\n') {
        if (line_.size() < kMaxLine) line_ += c;
        continue;
      }
      each(std::exchange(line_, {}));
    }
    if (got == 0 && !line_.empty()) each(std::exchange(line_, {}));
    return got != 0;
  }

 private:
  static constexpr std::size_t kMaxLine = 64 * 1024;
  std::string line_;
};

/// The last lines of each kind.
struct Heard {
  void keep(std::deque<std::string>& lines, std::string line) const {
    if (line.empty()) return;
    lines.push_back(std::move(line));
    if (lines.size() > kMaxEvidence) lines.pop_front();
  }
  void report(const std::string& line) {
    const auto doc = parse_json(line);
    if (!doc || !doc->is_object()) return;
    if (doc->contains("outcome")) outcome = outcome_of((*doc)["outcome"]);
    if (doc->contains("step")) {
      keep(steps, "message: " + doc->value("step", ""));
      method = doc->value("method", "");
    }
    if (doc->contains("log")) keep(logs, "log: " + doc->value("log", ""));
  }
  [[nodiscard]] std::vector<std::string> evidence(bool with_steps) const {
    std::vector<std::string> out;
    if (with_steps) out.assign(steps.begin(), steps.end());
    out.insert(out.end(), logs.begin(), logs.end());
    out.insert(out.end(), output.begin(), output.end());
    return out;
  }
  std::string method;  ///< of the call that the last step is about
  std::deque<std::string> steps;
  std::deque<std::string> logs;
  std::deque<std::string> output;
  std::optional<Outcome> outcome;
};

/// The process of one case, from its start to the end of its group.
class CaseProcess {
 public:
  [[nodiscard]] static Result<Outcome> run(Spawner& spawner, const CheckOptions& options, const Case& one,
                                           const std::vector<std::string>& leave_out) {
    const Folder folder;
    auto report = make_pipe();
    auto output = make_pipe();
    if (folder.path().empty() || !report || !output)
      return fail(ErrorKind::unavailable, std::string("no folder or pipe for a case: ") + std::strerror(errno));
    SpawnRequest request;
    request.program = options.program;
    request.argv = {"gantry", "plugin-check-case",
                    dump_json({{"case", one.name},
                               {"library", options.library.string()},
                               {"folder", folder.path().string()},
                               {"seed", options.seed},
                               {"leave_out", leave_out}})};
    request.environment = environment(folder.path().string());
    request.descriptors = {-1, output->in.get(), output->in.get(), report->in.get()};
    request.folder = folder.path();
    auto spawned = spawner.spawn(request);
    if (!spawned) return std::unexpected(spawned.error());
    report->in.close();
    output->in.close();
    CaseProcess process(*spawned, std::move(report->out), std::move(output->out));
    const bool in_time = process.watch(Clock::now() + one.bound);
    return process.end(one, in_time);
  }

 private:
  CaseProcess(const Spawned& spawned, Descriptor report, Descriptor output)
      : pid_(spawned.pid), pidfd_(spawned.pidfd), report_(std::move(report)), output_(std::move(output)) {}

  /// Listens until the process has ended. False: it has not, by then.
  [[nodiscard]] bool watch(Clock::time_point until) {
    while (true) {
      std::array<pollfd, 3> fds{pollfd{pidfd_.get(), POLLIN, 0}, pollfd{report_.get(), POLLIN, 0},
                                pollfd{output_.get(), POLLIN, 0}};
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
      if (left <= 0) return false;
      if (::poll(fds.data(), fds.size(), static_cast<int>(left)) < 0 && errno != EINTR) return false;
      listen(fds[1].revents, fds[2].revents);
      if (fds[0].revents != 0) return true;
    }
  }
  void listen(short report, short output) {
    if (report != 0 && !report_lines_.read(report_.get(), [&](const std::string& line) { heard_.report(line); }))
      report_.close();
    if (output != 0 && !output_lines_.read(output_.get(), [&](const std::string& line) {
          heard_.keep(heard_.output, printable(line, CaseReport::kMaxLine));
        }))
      output_.close();
  }
  /// Ends what is left of its group, hears the rest, and judges.
  [[nodiscard]] Outcome end(const Case& one, bool in_time) {
    (void)::kill(-pid_, SIGKILL);  // it has not been waited for: its group is still its own
    while (report_ || output_) {
      std::array<pollfd, 2> fds{pollfd{report_.get(), POLLIN, 0}, pollfd{output_.get(), POLLIN, 0}};
      // Who has left the group may hold them open.
      if (::poll(fds.data(), fds.size(), 200) <= 0) break;
      listen(fds[0].revents, fds[1].revents);
    }
    const std::string became = what_became_of(pidfd_.get());
    if (heard_.outcome) {
      Outcome outcome = std::move(*heard_.outcome);
      if (is_failure(outcome.status) && outcome.evidence.empty()) outcome.evidence = heard_.evidence(false);
      return outcome;
    }
    Outcome outcome = Outcome::failed(one.shows, "the plugin's process has ended: " + became,
                                      "run the case under a debugger or with a build with -fsanitize=address; the last "
                                      "message is what it was given before");
    outcome.status = Status::crashed;
    if (in_time && !heard_.method.empty()) outcome.defective = {heard_.method};
    if (!in_time) {
      outcome.status = Status::timed_out;
      outcome.happened = "the case was not over after " + std::to_string(one.bound.count()) + " s, and was killed";
      outcome.advice = "look for what waits without end at the last message below";
    }
    outcome.evidence = heard_.evidence(true);
    return outcome;
  }

  const pid_t pid_;
  const Descriptor pidfd_;
  Descriptor report_;
  Descriptor output_;
  Lines report_lines_;
  Lines output_lines_;
  Heard heard_;
};

}  // namespace

Result<std::vector<CaseResult>> check_plugin(const CheckOptions& options,
                                             const std::function<void(const CaseResult&)>& told) {
  std::vector<const Case*> chosen = options.only;
  if (chosen.empty()) {
    for (const auto& one : cases()) chosen.push_back(&one);
  }
  Spawner spawner;
  std::vector<CaseResult> results;
  Needs reached = Needs::started;
  std::vector<std::string> leave_out;
  for (const Case* one : chosen) {
    CaseResult result{one, {}};
    if (one->needs > reached) {
      result.outcome =
          Outcome::skipped(reached == Needs::file ? "it does not load: see `loads`" : "it does not start: see `start`");
    } else {
      const auto begun = Clock::now();
      auto outcome = CaseProcess::run(spawner, options, *one, leave_out);
      if (!outcome) return std::unexpected(outcome.error());
      result.outcome = std::move(*outcome);
      result.took = Clock::now() - begun;
    }
    const std::string_view name = one->name;
    if (is_failure(result.outcome.status) && name == "loads") reached = Needs::file;
    if (is_failure(result.outcome.status) && name == "start") reached = std::min(reached, Needs::loaded);
    // They have failed one case; the others are about the rest.
    if (name == "answers_once" || (result.outcome.status == Status::crashed && name != "unknown_topic")) {
      result.left_out = result.outcome.defective;
      leave_out.insert(leave_out.end(), result.left_out.begin(), result.left_out.end());
    }
    told(result);
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace gantry::host::check
