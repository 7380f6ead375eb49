// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/edits/write_plan.hpp"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <gantry/descriptor.hpp>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "plugins/lsp/files.hpp"

namespace gantry::lsp {

namespace {

[[nodiscard]] std::unexpected<Error> failed(const std::string& what, const std::string& path, int why) {
  const bool denied = why == EACCES || why == EPERM || why == EROFS;
  return fail(denied ? ErrorKind::permission_denied : ErrorKind::storage_failed,
              path + " cannot be " + what + ": " + std::strerror(why));
}

[[nodiscard]] std::unexpected<Error> changed(const std::string& path) {
  return fail(ErrorKind::conflict, path + " has changed since the edit was proposed; ask for the edit anew");
}

/// The content of a file that is a regular one and no link.
[[nodiscard]] std::optional<ContentHash> content_of(int folder, const std::string& name) {
  const Descriptor fd(::openat(folder, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  struct stat info{};
  if (!fd || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
  std::string text;
  constexpr std::size_t kChunk = std::size_t{1} << 16;
  while (text.size() <= kMaxFile) {
    const std::size_t before = text.size();
    text.resize(before + kChunk);
    const auto n = ::read(fd.get(), text.data() + before, kChunk);
    if (n < 0 && errno != EINTR) return std::nullopt;
    text.resize(before + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    if (n == 0) return ContentHash::of(text);
  }
  return std::nullopt;
}

[[nodiscard]] bool exists(int folder, const std::string& name) {
  struct stat info{};
  return ::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

// File systems without these flags answer EINVAL.
[[nodiscard]] bool exchange(int folder, const std::string& one, const std::string& other, const std::string& spare) {
  if (::renameat2(folder, one.c_str(), folder, other.c_str(), RENAME_EXCHANGE) == 0) return true;
  if (errno != EINVAL && errno != ENOSYS) return false;
  if (::renameat(folder, other.c_str(), folder, spare.c_str()) != 0) return false;
  if (::renameat(folder, one.c_str(), folder, other.c_str()) == 0)
    return ::renameat(folder, spare.c_str(), folder, one.c_str()) == 0;
  const int why = errno;
  (void)::renameat(folder, spare.c_str(), folder, other.c_str());
  errno = why;
  return false;
}

[[nodiscard]] bool rename_to_new(int folder, const std::string& from, const std::string& to) {
  if (::renameat2(folder, from.c_str(), folder, to.c_str(), RENAME_NOREPLACE) == 0) return true;
  if (errno != EINVAL && errno != ENOSYS) return false;
  return ::linkat(folder, from.c_str(), folder, to.c_str(), 0) == 0 && ::unlinkat(folder, from.c_str(), 0) == 0;
}

class Writer {
 public:
  Writer(const Plan& plan, const std::function<void(const std::string&)>& on_exchange)
      : plan_(plan), on_exchange_(on_exchange) {}
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Temporary files, or the old contents after success, and folders that nobody needs.
  ~Writer() {
    for (const auto& step : steps_) {
      if (step.has_temporary && !step.keep_temporary) (void)::unlinkat(step.folder->get(), step.temporary.c_str(), 0);
    }
    if (done_) return;
    for (auto it = made_.rbegin(); it != made_.rend(); ++it)
      (void)::unlinkat(it->first->get(), it->second.c_str(), AT_REMOVEDIR);
  }

  Result<void> write(const std::string& workspace) {
    root_ = real_path(workspace);
    if (root_.empty() || root_ == "/") {
      return fail(ErrorKind::permission_denied,
                  "edits are applied in the caller's workspace alone, and " +
                      (root_.empty() ? workspace + " is not there" : std::string("the caller has none")) +
                      "; name it in host.hello, or run `gantry mcp` there");
    }
    for (const auto& change : plan_.files) {
      if (change.real.size() <= root_.size() || !change.real.starts_with(root_) || change.real[root_.size()] != '/') {
        return fail(ErrorKind::permission_denied,
                    change.path + " lies outside of the workspace " + workspace + "; nothing was changed");
      }
    }
    auto base = std::make_shared<Descriptor>(::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (!*base) return failed("opened", root_, errno);
    folders_.emplace(root_, std::move(base));
    for (const auto& change : plan_.files) {
      if (auto ready = prepare(change); !ready) return unchanged(ready.error());
    }
    for (auto& step : steps_) {
      if (on_exchange_) on_exchange_(step.change->path);
      if (auto ok = perform(step); !ok) return undo(ok.error());
    }
    done_ = true;
    for (const auto& [path, folder] : folders_) (void)::fsync(folder->get());
    remove_folders();
    return {};
  }

 private:
  struct Step {
    const PlannedFile* change = nullptr;
    std::shared_ptr<Descriptor> folder;
    std::string name, temporary;
    bool has_temporary = false;
    bool keep_temporary = false;
    bool performed = false;
  };

  [[nodiscard]] static std::string next_name() {
    static std::atomic<unsigned> last{0};
    return kTemporary + std::to_string(::getpid()) + "-" + std::to_string(++last);
  }

  /// The folder at a real path in the workspace. `make`: it, and those around it, where there is none.
  [[nodiscard]] Result<std::shared_ptr<Descriptor>> open_folder(const std::string& path, bool make) {
    if (const auto it = folders_.find(path); it != folders_.end()) return it->second;
    const auto slash = path.rfind('/');
    const std::string name = path.substr(slash + 1);
    auto around = open_folder(path.substr(0, slash), make);
    if (!around) return around;
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
    auto folder = std::make_shared<Descriptor>(::openat((*around)->get(), name.c_str(), flags));
    if (!*folder && errno == ENOENT && make) {
      if (::mkdirat((*around)->get(), name.c_str(), 0777) != 0) return failed("made", path, errno);
      made_.emplace_back(*around, name);
      folder = std::make_shared<Descriptor>(::openat((*around)->get(), name.c_str(), flags));
    }
    if (!*folder) {
      const int why = errno;
      if (why == ELOOP || why == ENOTDIR || why == ENOENT)
        return fail(ErrorKind::conflict, path + " is no folder any more; ask for the edit anew");
      return failed("opened", path, why);
    }
    folders_.emplace(path, folder);
    return folder;
  }

  Result<void> prepare(const PlannedFile& change) {
    const auto slash = change.real.rfind('/');
    Step step;
    step.change = &change;
    step.name = change.real.substr(slash + 1);
    step.temporary = next_name();
    auto folder = open_folder(change.real.substr(0, slash), change.after.has_value());
    if (!folder) return std::unexpected(folder.error());
    step.folder = *folder;
    const int fd = step.folder->get();
    if (change.before) {
      if (content_of(fd, step.name) != change.before) return changed(change.path);
      if (::faccessat(fd, step.name.c_str(), W_OK, AT_EACCESS) != 0) return failed("written", change.path, errno);
    } else if (exists(fd, step.name)) {
      return changed(change.path);
    }
    steps_.push_back(std::move(step));
    if (!change.after) return {};
    return write_temporary(steps_.back());
  }

  Result<void> write_temporary(Step& step) {
    const PlannedFile& change = *step.change;
    std::optional<struct stat> like;
    if (!change.mode_of.empty()) {
      struct stat info{};
      if (::lstat(change.mode_of.c_str(), &info) != 0) return changed(change.path);
      like = info;
    }
    const mode_t mode = like ? 0600 : 0666;  // a new file's is up to the umask
    const Descriptor fd(::openat(step.folder->get(), step.temporary.c_str(),
                                 O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
    if (!fd) return failed("written", change.path, errno);
    step.has_temporary = true;
    for (std::size_t at = 0; at < change.after->size();) {
      const auto n = ::write(fd.get(), change.after->data() + at, change.after->size() - at);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return failed("written", change.path, n == 0 ? EIO : errno);
      at += static_cast<std::size_t>(n);
    }
    if (like) {
      if (like->st_uid != ::geteuid() || like->st_gid != ::getegid()) {
        const bool kept = ::fchown(fd.get(), like->st_uid, like->st_gid) == 0;
        if (!kept && like->st_uid != ::geteuid()) return failed("written as another user's file", change.path, errno);
      }
      if (::fchmod(fd.get(), like->st_mode & 07777) != 0) return failed("written", change.path, errno);
    }
    if (::fsync(fd.get()) != 0) return failed("written", change.path, errno);
    return {};
  }

  // The step has happened, or nothing of it.
  Result<void> perform(Step& step) {
    const PlannedFile& change = *step.change;
    const int fd = step.folder->get();
    if (!change.before) {
      if (!rename_to_new(fd, step.temporary, step.name)) {
        if (errno == EEXIST) return changed(change.path);
        return failed("created", change.path, errno);
      }
      step.has_temporary = false;
      step.performed = true;
      return {};
    }
    if (change.after) {
      if (!exchange(fd, step.temporary, step.name, next_name())) {
        if (errno == ENOENT) return changed(change.path);
        return failed("replaced", change.path, errno);
      }
      if (content_of(fd, step.temporary) == change.before) {
        step.performed = true;
        return {};
      }
      if (!exchange(fd, step.temporary, step.name, next_name())) {
        step.keep_temporary = true;
        left_.push_back(beside(step));
      }
      return changed(change.path);
    }
    if (!rename_to_new(fd, step.name, step.temporary)) {
      if (errno == ENOENT) return changed(change.path);
      return failed("deleted", change.path, errno);
    }
    step.has_temporary = true;
    if (content_of(fd, step.temporary) == change.before) {
      step.performed = true;
      return {};
    }
    if (rename_to_new(fd, step.temporary, step.name)) {
      step.has_temporary = false;
    } else {
      step.keep_temporary = true;
      left_.push_back(beside(step));
    }
    return changed(change.path);
  }

  [[nodiscard]] std::string beside(const Step& step) const {
    const std::string& real = step.change->real;
    return step.change->path + " (in " + real.substr(0, real.rfind('/') + 1) + step.temporary + ")";
  }

  // A file that somebody has written since the exchange is not taken for ours.
  void put_back(Step& step) {
    const PlannedFile& change = *step.change;
    const int fd = step.folder->get();
    bool back = false;
    if (!change.before) {  // ours may go
      back = rename_to_new(fd, step.name, step.temporary) || errno == ENOENT;
      step.has_temporary = back;
      if (back && content_of(fd, step.temporary) != ContentHash::of(*change.after)) {
        back = rename_to_new(fd, step.temporary, step.name);
        step.has_temporary = !back;
      }
      step.keep_temporary = !back;
      return;
    }
    if (change.after) {
      back = exchange(fd, step.temporary, step.name, next_name());
      if (!back && errno == ENOENT) {  // ours is gone
        back = rename_to_new(fd, step.temporary, step.name);
        step.has_temporary = !back;
      } else if (back && content_of(fd, step.temporary) != ContentHash::of(*change.after)) {
        back = false;
      }
    } else {
      back = rename_to_new(fd, step.temporary, step.name);
      step.has_temporary = !back;
    }
    if (back) return;
    step.keep_temporary = true;
    left_.push_back(beside(step));
  }

  [[nodiscard]] std::unexpected<Error> undo(const Error& why) {
    for (auto it = steps_.rbegin(); it != steps_.rend(); ++it) {
      if (it->performed) put_back(*it);
    }
    return unchanged(why);
  }

  [[nodiscard]] std::unexpected<Error> unchanged(const Error& why) const {
    std::string message = why.message;
    if (left_.empty()) {
      message += "; nothing was changed";
      return std::unexpected(Error{why.kind, std::move(message), why.data});
    }
    message += "; the other files were put back, except that what belongs to these lies beside them: ";
    for (std::size_t i = 0; i < left_.size(); ++i) message += (i == 0 ? "" : ", ") + left_[i];
    return std::unexpected(Error{ErrorKind::storage_failed, std::move(message), why.data});
  }

  // Those that somebody uses stay.
  void remove_folders() const {
    for (const auto& step : steps_) {
      if (step.has_temporary && !step.change->after) (void)::unlinkat(step.folder->get(), step.temporary.c_str(), 0);
    }
    for (const auto& folder : plan_.folders) {
      if (folder.size() <= root_.size() || !folder.starts_with(root_) || folder[root_.size()] != '/') continue;
      const auto slash = folder.rfind('/');
      const Descriptor around(::open(folder.substr(0, slash).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
      if (around) (void)::unlinkat(around.get(), folder.substr(slash + 1).c_str(), AT_REMOVEDIR);
    }
  }

  const Plan& plan_;
  const std::function<void(const std::string&)>& on_exchange_;
  std::string root_;
  std::map<std::string, std::shared_ptr<Descriptor>> folders_;  ///< by real path
  std::vector<Step> steps_;
  std::vector<std::pair<std::shared_ptr<Descriptor>, std::string>> made_;
  std::vector<std::string> left_;
  bool done_ = false;
};

}  // namespace

Result<void> write_plan(const Plan& plan, const std::string& workspace,
                        const std::function<void(const std::string&)>& on_exchange) {
  Writer writer(plan, on_exchange);
  return writer.write(workspace);
}

}  // namespace gantry::lsp
