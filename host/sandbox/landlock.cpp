// SPDX-License-Identifier: Apache-2.0
//
// Landlock (https://docs.kernel.org/userspace-api/landlock.html), by its system calls: the headers that this is built
// with may be older than the kernel that it runs on. Each version of it knows more; what the kernel does not know is
// left out. Version 2 is Debian 12's.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <gantry/descriptor.hpp>

#include "host/sandbox/confine.hpp"

namespace gantry::host {

namespace {

constexpr long kCreateRuleset = 444;
constexpr long kAddRule = 445;
constexpr long kRestrictSelf = 446;
constexpr unsigned kAskVersion = 1;
constexpr int kPathBeneath = 1;

using Rights = std::uint64_t;
constexpr Rights bit(unsigned n) { return Rights{1} << n; }
constexpr Rights kExecute = bit(0);
constexpr Rights kWriteFile = bit(1);
constexpr Rights kReadFile = bit(2);
constexpr Rights kReadDir = bit(3);
constexpr Rights kRemoveDir = bit(4);
constexpr Rights kRemoveFile = bit(5);
constexpr Rights kMakeDir = bit(7);
constexpr Rights kMakeRegular = bit(8);
constexpr Rights kMakeFifo = bit(10);
constexpr Rights kMakeLink = bit(12);
constexpr Rights kVersion1 = bit(13) - 1;  // with devices and sockets, which nobody is granted to make
constexpr Rights kRefer = bit(13);         // version 2: links and renames between folders
constexpr Rights kTruncate = bit(14);      // version 3
constexpr Rights kIoctlDevice = bit(15);   // version 5
constexpr Rights kOfFiles = kExecute | kWriteFile | kReadFile | kTruncate | kIoctlDevice;

constexpr Rights kRead = kReadFile | kReadDir;
constexpr Rights kRun = kRead | kExecute;
constexpr Rights kWrite = kRead | kWriteFile | kTruncate | kRemoveDir | kRemoveFile | kMakeDir | kMakeRegular |
                          kMakeFifo | kMakeLink | kRefer;

/// As the kernel has it since version 6; an older one is told of less of it.
struct Ruleset {
  Rights paths = 0;
  Rights ports = 0;   // version 4: bind and connect of TCP
  Rights scopes = 0;  // version 6: abstract sockets and signals of those outside
};
struct [[gnu::packed]] Rule {
  Rights rights;
  std::int32_t folder;
};

struct Place {
  const char* path;
  Rights rights;
};
// What programs need to be programs: the loader and its libraries, the system's settings, certificates and time zones,
// and what the kernel says. Of other processes /proc shows what it shows everybody; Landlock refuses the rest (their
// memory, their environment), as it refuses to trace them.
constexpr std::array kSystem{
    Place{"/usr", kRun},
    Place{"/bin", kRun},
    Place{"/sbin", kRun},
    Place{"/lib", kRun},
    Place{"/lib32", kRun},
    Place{"/lib64", kRun},
    Place{"/etc", kRead},
    Place{"/proc", kRead},
    Place{"/sys/devices/system", kRead},
    Place{"/sys/fs/cgroup", kRead},
    Place{"/dev/null", kReadFile | kWriteFile},
    Place{"/dev/zero", kReadFile | kWriteFile},
    Place{"/dev/full", kReadFile | kWriteFile},
    Place{"/dev/random", kReadFile},
    Place{"/dev/urandom", kReadFile},
};
// What the resolver reads. These files are often links out of /etc; a rule is for what a link leads to. The folders are
// for those that are replaced while the process runs.
constexpr std::array kForNetwork{
    Place{"/etc/resolv.conf", kReadFile}, Place{"/etc/hosts", kReadFile},      Place{"/etc/nsswitch.conf", kReadFile},
    Place{"/etc/gai.conf", kReadFile},    Place{"/etc/host.conf", kReadFile},  Place{"/run/systemd/resolve", kRead},
    Place{"/run/resolvconf", kRead},      Place{"/run/NetworkManager", kRead},
};

class Rules {
 public:
  enum class Place : std::uint8_t { open, absent, another };

  Rules(int ruleset, Rights known) : ruleset_(ruleset), known_(known) {}

  /// `pinned`: what alone may be there; nullptr: anything.
  [[nodiscard]] Result<Place> allow(const char* path, Rights rights, const FileId* pinned = nullptr) const {
    const Descriptor place(::open(path, O_PATH | O_CLOEXEC));
    struct stat info{};
    if (!place || ::fstat(place.get(), &info) != 0) return Place::absent;
    if (pinned != nullptr && *pinned != FileId{info.st_dev, info.st_ino}) return Place::another;
    if (!S_ISDIR(info.st_mode)) rights &= kOfFiles;
    const Rule rule{rights & known_, place.get()};
    if (::syscall(kAddRule, ruleset_, kPathBeneath, &rule, 0) != 0) return not_confined(path, errno);
    return Place::open;
  }
  template <class Places>
  [[nodiscard]] Result<void> allow(const Places& places) const {
    for (const auto& place : places) {
      if (auto ok = allow(place.path, place.rights); !ok) return std::unexpected(ok.error());
    }
    return {};
  }

 private:
  const int ruleset_;
  const Rights known_;
};

[[nodiscard]] Rights known_paths(int version) {
  Rights known = kVersion1;
  if (version >= 2) known |= kRefer;
  if (version >= 3) known |= kTruncate;
  if (version >= 5) known |= kIoctlDevice;
  return known;
}

[[nodiscard]] std::size_t size_for(int version) {
  if (version < 4) return sizeof(Rights);
  return version < 6 ? 2 * sizeof(Rights) : sizeof(Ruleset);
}

[[nodiscard]] Result<void> allow_all(const Rules& rules, const Confinement& confinement,
                                     std::vector<std::string>& notes) {
  if (auto ok = rules.allow(kSystem); !ok) return ok;
  if (confinement.network) {
    if (auto ok = rules.allow(kForNetwork); !ok) return ok;
    for (const char* name : kCertificateVariables) {
      const char* const path = std::getenv(name);
      if (path == nullptr || *path == '\0') continue;
      if (auto ok = rules.allow(path, kRead); !ok) return std::unexpected(ok.error());
    }
  }
  const auto granted = [&](const std::string& path, Rights rights) -> Result<void> {
    const auto pin = confinement.pinned.find(path);
    const FileId* const id = pin == confinement.pinned.end() ? nullptr : &pin->second;
    const auto allowed = rules.allow(path.c_str(), confinement.processes ? rights | kExecute : rights, id);
    if (!allowed) return std::unexpected(allowed.error());
    if (*allowed == Rules::Place::absent)
      notes.push_back(path + " is granted and cannot be opened now: it stays closed");
    if (*allowed == Rules::Place::another)
      notes.push_back(path + " is granted and is not the file or folder that the host found there: it stays closed");
    return {};
  };
  for (const auto& path : confinement.read) {
    if (auto ok = granted(path, kRead); !ok) return ok;
  }
  for (const auto& path : confinement.write) {
    if (auto ok = granted(path, kWrite); !ok) return ok;
  }
  return confinement.folder.empty() ? Result<void>() : granted(confinement.folder, kWrite);
}

}  // namespace

Result<int> restrict_paths(const Confinement& confinement, std::vector<std::string>& notes, int newest) {
  const int version = std::min(static_cast<int>(::syscall(kCreateRuleset, nullptr, 0, kAskVersion)), newest);
  if (version <= 0) return 0;
  Ruleset ruleset;
  ruleset.paths = known_paths(version);
  if (version >= 4 && !confinement.network) ruleset.ports = bit(0) | bit(1);
  if (version >= 6) ruleset.scopes = bit(0) | bit(1);
  const Descriptor rules(static_cast<int>(::syscall(kCreateRuleset, &ruleset, size_for(version), 0)));
  if (!rules) return not_confined("landlock_create_ruleset", errno);
  if (auto ok = allow_all(Rules(rules.get(), ruleset.paths), confinement, notes); !ok)
    return std::unexpected(ok.error());
  if (::syscall(kRestrictSelf, rules.get(), 0) != 0) return not_confined("landlock_restrict_self", errno);
  return version;
}

}  // namespace gantry::host
