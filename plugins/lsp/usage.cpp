// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/usage.hpp"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace gantry::lsp {

namespace {

// Of stat, after the name of the program, which may hold anything: the fields from the third on.
enum StatField : std::size_t { kState, kParent, kUser = 11, kSystem, kChildrensUser, kChildrensSystem, kResident = 21 };

/// It has ended, and its parent does not ask for that; its processor time counts still.
constexpr std::uint64_t kZombie = 'Z';

[[nodiscard]] std::string in_proc(int pid, const char* file) { return "/proc/" + std::to_string(pid) + "/" + file; }

/// Its first 4 KiB.
[[nodiscard]] std::string content_of(const std::string& file) {
  constexpr std::size_t kMost = 4096;
  std::string out(kMost, '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(out.data(), kMost);  // not by an iterator, which throws when the process is just ending
  out.resize(static_cast<std::size_t>(in.gcount()));
  return out;
}

/// Empty: there is no such process.
[[nodiscard]] std::vector<std::uint64_t> stat_of(int pid) {
  std::vector<std::uint64_t> out;
  const std::string text = content_of(in_proc(pid, "stat"));
  const auto name_end = text.rfind(") ");
  if (name_end == std::string::npos) return out;
  std::istringstream fields(text.substr(name_end + 2));
  for (std::string field; fields >> field;) {
    std::uint64_t value = out.empty() ? static_cast<std::uint64_t>(field.front()) : 0;  // the state is a letter
    (void)std::from_chars(field.data(), field.data() + field.size(), value);
    out.push_back(value);
  }
  if (out.size() <= kResident) out.clear();
  return out;
}

[[nodiscard]] std::optional<std::uint64_t> pss_of(int pid) {
  std::ifstream in(in_proc(pid, "smaps_rollup"));
  for (std::string line; std::getline(in, line);) {
    std::uint64_t kib = 0;
    if (!line.starts_with("Pss:")) continue;
    if (std::istringstream(line.substr(4)) >> kib) return kib * 1024;
  }
  return std::nullopt;
}

// Any of its threads may have started them.
void add_children(int pid, std::vector<int>& out) {
  const std::string folder = in_proc(pid, "task");
  const std::unique_ptr<DIR, int (*)(DIR*)> tasks(::opendir(folder.c_str()), ::closedir);
  if (!tasks) return;
  while (const dirent* entry = ::readdir(tasks.get())) {
    if (entry->d_name[0] == '.') continue;
    std::ifstream in(folder + "/" + entry->d_name + "/children");
    for (int child = 0; in >> child && out.size() < Usage::kMaxProcesses;) out.push_back(child);
  }
}

[[nodiscard]] bool is_guard(int pid) {
  const std::string words = content_of(in_proc(pid, "cmdline"));  // each ends with a zero byte
  const auto second = words.find('\0');
  return second != std::string::npos && std::string_view(words).substr(second + 1).starts_with("helper-guard");
}

/// The server, all that it has started, and what they have left to the guard.
[[nodiscard]] std::vector<int> processes_of(int pid) {
  std::vector<int> out;
  const auto stat = stat_of(pid);
  if (stat.empty()) return out;
  if (const int parent = static_cast<int>(stat[kParent]); is_guard(parent)) add_children(parent, out);
  if (std::ranges::find(out, pid) == out.end()) out.push_back(pid);
  for (std::size_t i = 0; i < out.size(); ++i) add_children(out[i], out);
  return out;
}

}  // namespace

std::optional<Usage> usage_of(int pid, std::uint64_t pss_above) {
  static const auto kPage = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  static const auto kTicks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  const auto processes = processes_of(pid);
  Usage out;
  std::uint64_t ticks = 0;
  for (const int each : processes) {
    const auto stat = stat_of(each);
    if (stat.empty()) continue;  // it has ended meanwhile
    if (stat[kState] != kZombie) ++out.processes;
    out.rss_bytes += stat[kResident] * kPage;
    ticks += stat[kUser] + stat[kSystem] + stat[kChildrensUser] + stat[kChildrensSystem];
  }
  if (out.processes == 0) return std::nullopt;
  out.cpu_seconds = static_cast<double>(ticks) / kTicks;
  if (out.rss_bytes <= pss_above) return out;
  std::uint64_t pss = 0;
  for (const int each : processes) {
    if (const auto one = pss_of(each)) {
      pss += *one;
    } else if (const auto stat = stat_of(each); !stat.empty() && stat[kState] != kZombie) {
      return out;
    }
  }
  out.pss_bytes = pss;
  return out;
}

void add_usage(json& servers) {
  for (auto& server : servers) {
    const auto pid = server.find("pid");
    const auto usage = pid == server.end() ? std::nullopt : usage_of(pid->get<int>());
    if (!usage) continue;
    server["rss_bytes"] = usage->rss_bytes;
    if (usage->pss_bytes) server["pss_bytes"] = *usage->pss_bytes;
    server["cpu_seconds"] = usage->cpu_seconds;
    server["processes"] = usage->processes;
  }
}

}  // namespace gantry::lsp
