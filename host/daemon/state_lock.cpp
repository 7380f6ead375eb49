// SPDX-License-Identifier: Apache-2.0
#include "host/daemon/state_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <gantry/json.hpp>
#include <utility>

#include "host/observe/private_folders.hpp"
#include "host/runtime/process_stat.hpp"

namespace gantry::host {

namespace {

constexpr std::size_t kMaxRecord = 8192;

[[nodiscard]] std::filesystem::path lock_file(const std::filesystem::path& state_dir) {
  return state_dir / "host.lock";
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

[[nodiscard]] StateHolder read_record(int fd) {
  std::string text(kMaxRecord, '\0');
  const ssize_t got = ::pread(fd, text.data(), text.size(), 0);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  const auto record = parse_json(text);
  if (!record || !record->is_object()) return {};
  StateHolder holder;
  if (const auto pid = record->find("pid"); pid != record->end() && pid->is_number_integer())
    holder.pid = pid->get<pid_t>();
  if (const auto socket = record->find("socket"); socket != record->end() && socket->is_string())
    holder.socket = socket->get<std::string>();
  if (const auto born = record->find("born"); born != record->end() && born->is_number_unsigned())
    holder.born = born->get<std::uint64_t>();
  return holder;
}

}  // namespace

std::optional<StateHolder> find_state_holder(const std::filesystem::path& state_dir) {
  const Descriptor in{::open(lock_file(state_dir).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
  if (in.fd < 0) return std::nullopt;
  // Shared, so that clients do not refuse one another; given back at once.
  if (::flock(in.fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK) return std::nullopt;
  return read_record(in.fd);
}

bool StateHolder::is_here() const {
  const auto stat = pid > 0 ? process_stat(pid) : std::nullopt;
  return stat && stat->born == born;
}

// The holder watches the attributes of its file (place_watch.hpp).
void wake_state_holder(const std::filesystem::path& state_dir) {
  (void)::utimensat(AT_FDCWD, lock_file(state_dir).c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
}

std::string held_by(const StateHolder& holder, const std::filesystem::path& state_dir) {
  std::string who;
  if (holder.pid != 0)
    who = " (pid " + std::to_string(holder.pid) + (holder.is_here() ? "" : " of another machine or container") +
          ", socket " + holder.socket.string() + ")";
  return "another gantry" + who + " has the state folder " + state_dir.string() +
         "; stop it, or use another folder ($GANTRY_STATE_DIR)";
}

Result<StateLock> StateLock::take(const std::filesystem::path& state_dir, bool waits) {
  (void)make_private_folders(state_dir);  // the lock says what does not work
  auto lock = FileLock::take(lock_file(state_dir), waits);
  if (lock) {
    // The record of whoever held it before must not be taken for this host's.
    (void)!::ftruncate(lock->fd(), 0);
    return StateLock(std::move(*lock));
  }
  if (lock.error().kind == ErrorKind::conflict)
    return fail(ErrorKind::conflict, held_by(find_state_holder(state_dir).value_or(StateHolder{}), state_dir));
  return fail(ErrorKind::storage_failed, "the state folder " + state_dir.string() +
                                             " cannot be written: " + lock.error().message +
                                             "; make it writable for this user, or name another ($GANTRY_STATE_DIR)");
}

void StateLock::write_socket(const std::filesystem::path& socket) const {
  const auto stat = process_stat(::getpid());
  const std::string text =
      dump_json({{"pid", ::getpid()}, {"born", stat ? stat->born : 0}, {"socket", socket.string()}}) + "\n";
  // Without room on the disk clients find this host by its socket alone.
  if (::ftruncate(lock_.fd(), 0) == 0) (void)!::pwrite(lock_.fd(), text.data(), text.size(), 0);
}

}  // namespace gantry::host
