// SPDX-License-Identifier: Apache-2.0
#include "host/sandbox/confine.hpp"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <gantry/params.hpp>

namespace gantry::host {

namespace {

// A plugin needs a few files. One that leaks them shall hear of it before the system's table is full.
constexpr rlim_t kMaxFiles = 4096;

[[nodiscard]] Result<void> lower(__rlimit_resource what, const char* name, rlim_t soft, rlim_t hard) {
  rlimit limit{};
  if (::getrlimit(what, &limit) != 0) return not_confined(name, errno);
  limit.rlim_max = std::min(limit.rlim_max, hard);
  limit.rlim_cur = std::min({limit.rlim_cur, soft, limit.rlim_max});
  if (::setrlimit(what, &limit) != 0) return not_confined(name, errno);
  return {};
}

// The size of a core file stays as the host was started with: it is evidence, and its place is the system's to say.
// Threads are counted for the user, not for the process, so they have no limit here.
[[nodiscard]] Result<void> limit_resources(const Confinement& confinement) {
  // Those that start programs may raise theirs: such a program may need more.
  if (auto ok = lower(RLIMIT_NOFILE, "RLIMIT_NOFILE", static_cast<rlim_t>(confinement.open_files),
                      confinement.processes ? RLIM_INFINITY : kMaxFiles);
      !ok)
    return ok;
  if (!confinement.max_memory_mib || kSanitized) return {};
  const auto bytes = static_cast<rlim_t>(*confinement.max_memory_mib) << 20U;
  return lower(RLIMIT_AS, "RLIMIT_AS", bytes, bytes);
}

// A host that root has started would give them to its plugins: to read every file, say.
[[nodiscard]] Result<void> drop_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none{};
  if (::syscall(SYS_capset, &header, none.data()) != 0) return not_confined("capset", errno);
  return {};
}

}  // namespace

std::unexpected<Error> not_confined(const std::string& what, int error) {
  return fail(ErrorKind::unavailable, "its process cannot be confined: " + what + ": " + std::strerror(error));
}

json to_json(const Confinement& c) {
  json pinned = json::object();
  for (const auto& [path, id] : c.pinned) pinned[path] = {id.device, id.inode};
  json out{{"folder", c.folder},         {"read", c.read},           {"write", c.write},
           {"network", c.network},       {"processes", c.processes}, {"open_files", c.open_files},
           {"pinned", std::move(pinned)}};
  if (c.max_memory_mib) out["max_memory_mib"] = *c.max_memory_mib;
  return out;
}

Result<Confinement> confinement_of(const json& doc) {
  Params p(doc);
  Confinement out;
  out.folder = p.string("folder");
  out.read = p.strings("read");
  out.write = p.strings("write");
  out.network = p.boolean_or("network", false);
  out.processes = p.boolean_or("processes", false);
  out.max_memory_mib = p.maybe_integer("max_memory_mib");
  out.open_files = p.integer("open_files", 1, kNoOpenFilesLimit);
  for (const auto& [path, id] : p.object("pinned").items()) {
    const bool fits = id.is_array() && id.size() == 2 && id[0].is_number_unsigned() && id[1].is_number_unsigned();
    p.require(fits, "pinned must map paths to [device, inode]");
    if (fits) out.pinned[path] = {id[0].get<std::uint64_t>(), id[1].get<std::uint64_t>()};
  }
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  return out;
}

std::vector<std::string> scrubbed_environment(const Confinement& confinement) {
  std::vector<std::string> out;
  const auto pass = [&](const char* name) {
    if (const char* value = ::getenv(name)) out.push_back(std::string(name) + "=" + value);
  };
  for (const char* name : {"PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "XDG_CACHE_HOME"}) pass(name);
  if (confinement.network) {
    for (const char* name :
         {"http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"})
      pass(name);
    for (const char* name : kCertificateVariables) pass(name);
  }
  for (const auto& name : confinement.environment) {
    if (const char* value = ::getenv(name.c_str())) out.push_back(name + "=" + value);
  }
  if (!confinement.folder.empty()) out.push_back("TMPDIR=" + confinement.folder);
  if constexpr (kSanitized) {
    const std::string limit =
        confinement.max_memory_mib ? ":hard_rss_limit_mb=" + std::to_string(*confinement.max_memory_mib) : "";
    for (const char* name : {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"}) {
      const char* value = ::getenv(name);
      out.push_back(std::string(name) + "=" + (value == nullptr ? "" : value) + limit);
    }
  }
  return out;
}

Result<Confined> confine(const Confinement& confinement, int newest_landlock) {
  Confined out;
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return not_confined("PR_SET_NO_NEW_PRIVS", errno);
  out.enforced.emplace_back("no_new_privs");
  if (auto ok = limit_resources(confinement); !ok) return std::unexpected(ok.error());
  out.enforced.emplace_back("rlimits");
  if (auto ok = drop_capabilities(); !ok) return std::unexpected(ok.error());
  out.enforced.emplace_back("capabilities");
  const auto paths = restrict_paths(confinement, out.notes, newest_landlock);
  if (!paths) return std::unexpected(paths.error());
  if (*paths > 0) {
    out.enforced.push_back("landlock:" + std::to_string(*paths));
  } else {
    out.notes.emplace_back("this kernel has no Landlock: the plugin may open every file that its user may");
  }
  const auto calls = restrict_calls(confinement, *paths);
  if (!calls) return std::unexpected(calls.error());
  if (*calls) {
    out.enforced.emplace_back("seccomp");
  } else {
    out.notes.emplace_back("this kernel has no seccomp filters: the plugin may use the network and start processes");
  }
  return out;
}

}  // namespace gantry::host
