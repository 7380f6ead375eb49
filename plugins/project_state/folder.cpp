// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/folder.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <gantry/detail/closed_in_forks.hpp>
#include <gantry/json.hpp>

namespace gantry::state {

namespace {

constexpr mode_t kFileMode = 0600;
constexpr std::size_t kSmallFile = 4096;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

[[nodiscard]] std::unexpected<Error> failed(const std::string& what, int code) {
  return fail(ErrorKind::storage_failed, "cannot " + what + ": " + std::strerror(code) + advice_about(code));
}

/// All of the new text or all of the old, whatever happens.
[[nodiscard]] Result<void> replace_file(const std::string& folder, const std::string& name, const std::string& text) {
  const std::string file = folder + "/" + name;
  const std::string fresh = file + ".new";
  {
    const Descriptor out(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, kFileMode));
    if (out.get() < 0) return failed("create " + fresh, errno);
    const ssize_t wrote = ::write(out.get(), text.data(), text.size());
    const int code = wrote < 0 ? errno : ENOSPC;
    if (wrote != static_cast<ssize_t>(text.size())) {
      ::unlink(fresh.c_str());
      return failed("write " + fresh, code);
    }
    if (::fsync(out.get()) != 0) return failed("sync " + fresh, errno);
  }
  if (::rename(fresh.c_str(), file.c_str()) != 0) return failed("rename " + fresh, errno);
  return sync_folder(folder);
}

/// Empty: there is no such file.
[[nodiscard]] Result<std::optional<std::string>> read_small_file(const std::string& file) {
  const Descriptor in(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (in.get() < 0) {
    if (errno == ENOENT) return std::nullopt;
    return failed("open " + file, errno);
  }
  std::string text(kSmallFile, '\0');
  const ssize_t got = ::read(in.get(), text.data(), text.size());
  if (got < 0) return failed("read " + file, errno);
  text.resize(static_cast<std::size_t>(got));
  return text;
}

[[nodiscard]] Result<void> remove_small_file(const std::string& folder, const char* name) {
  const std::string file = folder + "/" + name;
  if (::unlink(file.c_str()) != 0) {
    if (errno == ENOENT) return {};
    return failed("remove " + file, errno);
  }
  return sync_folder(folder);
}

}  // namespace

std::string advice_about(int code) {
  return code == EMFILE || code == ENFILE
             ? "; the process needs more descriptors (`ulimit -n`), or fewer clients"
             : "; make the state folder writable for this user, with room on its disk, and try again";
}

Result<void> sync_folder(const std::string& folder) {
  const Descriptor dir(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (dir.get() < 0) return failed("open " + folder, errno);
  if (::fsync(dir.get()) != 0) return failed("sync " + folder, errno);
  return {};
}

Result<void> touch_private(const std::string& file) {
  const Descriptor fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kFileMode));
  return fd.get() < 0 ? failed("create " + file, errno) : Result<void>();
}

Result<void> copy_private(const std::string& from, const std::string& to) {
  const Descriptor in(::open(from.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (in.get() < 0) return failed("open " + from, errno);
  ::unlink(to.c_str());
  const Descriptor out(::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kFileMode));
  if (out.get() < 0) return failed("create " + to, errno);
  std::string part(std::size_t{1} << 20, '\0');
  while (true) {
    const ssize_t got = ::read(in.get(), part.data(), part.size());
    if (got < 0) return failed("read " + from, errno);
    if (got == 0) break;
    for (ssize_t at = 0; at < got;) {
      const ssize_t wrote = ::write(out.get(), part.data() + at, static_cast<std::size_t>(got - at));
      if (wrote < 0) return failed("write " + to, errno);
      at += wrote;
    }
  }
  if (::fsync(out.get()) != 0) return failed("sync " + to, errno);
  return {};
}

Result<void> sync_file(const std::string& file) {
  const Descriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (fd.get() < 0) return failed("open " + file, errno);
  if (::fsync(fd.get()) != 0) return failed("sync " + file, errno);
  return {};
}

Result<FolderLock> FolderLock::take(const std::string& folder) {
  const std::string file = folder + "/state.lock";
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, kFileMode);
  if (fd < 0) return failed("open " + file, errno);
  detail::ClosedInForks::add(fd);  // the lock is its open file's: a forked child would hold it as well
  FolderLock lock(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return failed("lock " + file, errno);
    char text[32] = {};
    const ssize_t got = ::pread(fd, text, sizeof text - 1, 0);
    const std::string holder = got > 0 ? " (pid " + std::string(text, std::strcspn(text, "\n")) + ")" : "";
    return fail(ErrorKind::unavailable, "another process" + holder + " uses the state folder " + folder +
                                            "; stop it, or use another folder ($GANTRY_STATE_DIR)");
  }
  // The pid is only for the message above: a full disk must not keep a store from being read.
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd, 0) == 0) {
    [[maybe_unused]] const ssize_t wrote = ::pwrite(fd, pid.data(), pid.size(), 0);
  }
  return lock;
}

FolderLock::~FolderLock() {
  if (fd_ < 0) return;
  detail::ClosedInForks::remove(fd_);
  ::close(fd_);
}

Result<std::string> prepare_folder(const std::string& folder) {
  if (folder.empty() || folder.front() != '/') {
    return fail(ErrorKind::invalid_params, "state_dir must be an absolute path, not \"" + folder + "\"");
  }
  std::error_code code;
  if (!std::filesystem::exists(folder, code)) {
    const auto parent = std::filesystem::path(folder).parent_path();
    std::filesystem::create_directories(parent, code);
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
      return failed("create the state folder " + folder, errno);
    if (auto synced = sync_folder(parent.string()); !synced) return std::unexpected(synced.error());
  }
  if (!std::filesystem::is_directory(folder, code)) {
    return fail(ErrorKind::unavailable, folder + " is no folder; the state folder must be one");
  }
  const auto canonical = std::filesystem::canonical(folder, code);
  if (code) return failed("resolve the state folder " + folder, code.value());
  return canonical.string();
}

Result<std::optional<std::string>> read_identity(const std::string& folder) {
  const std::string file = folder + "/state.identity";
  auto text = read_small_file(file);
  if (!text || !*text) return text;
  const auto doc = parse_json(**text);
  if (doc && doc->is_object() && doc->contains("store_id") && (*doc)["store_id"].is_string()) {
    return (*doc)["store_id"].get<std::string>();
  }
  return fail(
      ErrorKind::unavailable,
      file + " is damaged; look whether state.db beside it is the one you want, remove " + file + ", and start again");
}

Result<void> write_identity(const std::string& folder, const std::string& store_id) {
  return replace_file(folder, "state.identity", dump_json({{"store_id", store_id}}) + "\n");
}

Result<std::optional<CleanMark>> read_clean_mark(const std::string& folder) {
  const auto text = read_small_file(folder + "/state.clean");
  if (!text) return std::unexpected(text.error());
  if (!*text) return std::nullopt;
  const auto doc = parse_json(**text);
  if (!doc || !doc->is_object() || !doc->contains("epoch") || !(*doc)["epoch"].is_string() || !doc->contains("seq") ||
      !(*doc)["seq"].is_number_unsigned()) {
    return std::nullopt;
  }
  return CleanMark{(*doc)["epoch"].get<std::string>(), (*doc)["seq"].get<std::uint64_t>()};
}

Result<void> write_clean_mark(const std::string& folder, const CleanMark& mark) {
  return replace_file(folder, "state.clean", dump_json({{"epoch", mark.epoch}, {"seq", mark.seq}}) + "\n");
}

Result<void> remove_clean_mark(const std::string& folder) { return remove_small_file(folder, "state.clean"); }

Result<std::optional<std::string>> read_recovery_mark(const std::string& folder) {
  return read_small_file(folder + "/state.recovering");
}

Result<void> write_recovery_mark(const std::string& folder, const std::string& text) {
  return replace_file(folder, "state.recovering", text);
}

Result<void> remove_recovery_mark(const std::string& folder) { return remove_small_file(folder, "state.recovering"); }

std::string random_id() {
  unsigned char bytes[16];
  if (::getentropy(bytes, sizeof bytes) != 0) throw std::runtime_error("the kernel gives no random bytes");
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string id;
  for (const unsigned char byte : bytes) {
    id += kDigits[byte >> 4];
    id += kDigits[byte & 15];
  }
  return id;
}

}  // namespace gantry::state
