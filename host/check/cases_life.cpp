// SPDX-License-Identifier: Apache-2.0
//
// How it begins, how it ends, and what is left of it.
#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "host/check/drive.hpp"

namespace gantry::host::check {

namespace {

namespace fs = std::filesystem;

/// How long the process is looked at for what should have ended.
constexpr Duration kSettle = std::chrono::milliseconds(500);
constexpr Duration kAfterlife = std::chrono::milliseconds(200);

/// The names of the entries of a folder of /proc, and what each is.
template <class F>
[[nodiscard]] std::map<std::string, std::string> look(const char* folder, F what) {
  std::map<std::string, std::string> out;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(folder, failed)) out[entry.path().filename()] = what(entry.path());
  return out;
}

[[nodiscard]] std::map<std::string, std::string> threads() {
  return look("/proc/self/task", [](const fs::path& task) {
    std::ifstream in(task / "comm");
    std::string name;
    std::getline(in, name);
    return name;
  });
}

[[nodiscard]] std::map<std::string, std::string> descriptors() {
  auto out = look("/proc/self/fd", [](const fs::path& fd) {
    std::error_code failed;
    return fs::read_symlink(fd, failed).string();
  });
  // The one with which the folder was read is closed by now.
  std::erase_if(out, [](const auto& entry) { return !fs::exists(fs::symlink_status("/proc/self/fd/" + entry.first)); });
  return out;
}

/// What is there now and was not before; looked at until there is nothing, or `kSettle` is over.
template <class F>
[[nodiscard]] std::vector<std::string> left_over(const std::map<std::string, std::string>& before, F now) {
  const auto until = std::chrono::steady_clock::now() + kSettle;
  while (true) {
    std::vector<std::string> out;
    for (const auto& [name, what] : now()) {
      if (!before.contains(name)) out.push_back(what);
    }
    if (out.empty() || std::chrono::steady_clock::now() > until) return out;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

[[nodiscard]] std::string listed(const std::vector<std::string>& what) {
  std::string out = std::to_string(what.size()) + ": ";
  for (std::size_t i = 0; i < std::min<std::size_t>(what.size(), 5); ++i) out += (i == 0 ? "" : ", ") + what[i];
  return what.size() > 5 ? out + ", ..." : out;
}

[[nodiscard]] Outcome does_not_end() {
  return Outcome::failed("`deliver` and `destroy` return", "the plugin was still in one of them after 20 s",
                         "answer STOP and return; join threads that are told to end, not such that wait for work");
}

/// A whole life, with every method called.
[[nodiscard]] std::optional<Outcome> live(Subject& s, std::size_t& calls) {
  Drive drive(s);
  if (auto wrong = drive.begin()) return wrong;
  calls = drive.call_each(Wish::least);
  drive.end_calls();
  if (!drive.end()) return does_not_end();
  return std::nullopt;
}

}  // namespace

Outcome check_start(Subject& s) {
  Drive drive(s);
  if (auto wrong = drive.begin()) return *wrong;
  if (!drive.end()) return does_not_end();
  return drive.judge("started, stopped and destroyed", {Fault::too_early, Fault::malformed});
}

Outcome check_bare_host(Subject& s) {
  return with_plugin(s, {.extensions = false}, [&](Drive& drive) {
    const auto calls = drive.call_each(Wish::least);
    drive.end_calls();
    return drive.judge(counted(calls, s.manifest.methods.size()) + ", extension() always NULL");
  });
}

Outcome check_double_create(Subject& s) {
  {
    BareHost unused(*s.entry, s.report);  // created and destroyed, never started
    if (!unused.create() || !unused.destroy(kLongTimeout))
      return Outcome::failed("an object that was never started can be destroyed", "`create` or `destroy` did not work",
                             "let `destroy` free whatever `create` has made");
  }
  Drive first(s, {}, "first");
  Drive second(s, {}, "second");
  if (auto wrong = first.begin()) return *wrong;
  if (auto wrong = second.begin()) {
    wrong->expected = "a second object starts beside the first one, with a state_dir of its own";
    wrong->advice = "keep state in the object, not in globals: a reload runs the old and the new one at once";
    return *wrong;
  }
  std::size_t calls = first.call_each(Wish::least) + second.call_each(Wish::least);
  first.end_calls();
  if (!first.end()) return does_not_end();
  calls += second.call_each(Wish::least);
  second.end_calls();
  for (const Drive* drive : {&first, &second}) {
    if (auto outcome = drive->judge("", {Fault::unknown_call}); is_failure(outcome.status)) {
      outcome.happened += drive == &second ? " (the second object, whose first one is gone)" : " (the first object)";
      return outcome;
    }
  }
  if (!second.end()) return does_not_end();
  return Outcome::passed(std::to_string(calls) + " calls of two objects");
}

Outcome check_stop(Subject& s) {
  for (const bool busy : {false, true}) {
    Drive drive(s);
    if (auto wrong = drive.begin()) return *wrong;
    if (busy) {
      for (const auto& [name, method] : s.manifest.methods)
        (void)drive.call(name, dump_json(drive.values().params(method.params, Wish::least)));
    }
    drive.free_thread();
    const auto stopped = drive.host().stop(kStopBudget, kLongTimeout);
    const std::string when = busy ? " with a call of each method open" : " while nothing was open";
    if (!stopped.answered)
      return Outcome::failed(
          "STOP is answered within its budget of 5 s", "it was not," + when,
          "in stop(): cancel what is open, end what runs, then let Stopping go (in C: answer STOP's id)");
    if (!stopped.returned || !drive.host().destroy(kLongTimeout)) return does_not_end();
    for (const auto& seen : drive.host().faults()) {
      if (seen.fault == Fault::answered_twice && seen.what.starts_with("STOP"))
        return Outcome::failed("STOP is answered once", seen.what + when, "answer STOP's id once, when all has ended");
    }
  }
  return Outcome::passed("idle, and with a call of each method open");
}

Outcome check_send_after_stop(Subject& s) {
  Drive drive(s, {.closed_from_stop = true});
  if (auto wrong = drive.begin()) return *wrong;
  for (const auto& [name, method] : s.manifest.methods) {
    (void)drive.call(name, dump_json(drive.values().params(method.params, Wish::least)));
    if (method.stream) (void)drive.open_stream(name, dump_json(drive.values().params(method.params, Wish::least)), 1);
  }
  drive.free_thread();
  const std::size_t open = drive.host().open().size();
  (void)drive.host().stop(kStopBudget, kLongTimeout);
  if (!drive.host().destroy(kLongTimeout)) return does_not_end();
  std::this_thread::sleep_for(kAfterlife);  // for what is still there to show itself
  for (const auto& seen : drive.host().faults()) {
    if (seen.fault == Fault::too_late)
      return Outcome::failed("the plugin is silent after `destroy` has returned", seen.what,
                             "join its threads in `destroy`");
  }
  return Outcome::passed("stopped with " + std::to_string(open) + " calls open, every send refused");
}

Outcome check_threads(Subject& s) {
  const auto before = threads();
  std::size_t calls = 0;
  if (auto wrong = live(s, calls)) return *wrong;
  const auto left = left_over(before, threads);
  if (left.empty()) return Outcome::passed("none left after " + std::to_string(calls) + " calls");
  return Outcome::failed("no thread of the plugin runs after `destroy` has returned", listed(left),
                         "join every thread in the destructor, and detach none");
}

Outcome check_descriptors(Subject& s) {
  std::size_t calls = 0;
  if (auto wrong = live(s, calls)) return *wrong;  // what a library opens once and keeps is none of the plugin's
  const auto before = descriptors();
  if (auto wrong = live(s, calls)) return *wrong;
  const auto left = left_over(before, descriptors);
  if (left.empty()) return Outcome::passed("none left after " + std::to_string(calls) + " calls");
  return Outcome::failed("the second life of a plugin in a process leaves no descriptor open", listed(left),
                         "close in the destructor what was opened");
}

}  // namespace gantry::host::check
