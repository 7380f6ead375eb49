// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/backups.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <ranges>
#include <tuple>

#include "plugins/project_state/checks.hpp"
#include "plugins/project_state/folder.hpp"
#include "plugins/project_state/schema.hpp"
#include "plugins/project_state/sqlite.hpp"
#include "plugins/project_state/transaction.hpp"

namespace gantry::state {

namespace {

namespace fs = std::filesystem;

[[nodiscard]] std::unexpected<Error> failed(const std::string& what, const std::string& why) {
  return fail(ErrorKind::storage_failed, "cannot " + what + ": " + why);
}

constexpr std::uint64_t kMaxNumber = std::uint64_t{1} << 53;  // no host makes so many

[[nodiscard]] std::string time_text(std::int64_t wall_ms) {
  const std::time_t seconds = wall_ms / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 32> out{};
  (void)std::strftime(out.data(), out.size(), "%Y%m%dT%H%M%SZ", &parts);
  return out.data();
}

[[nodiscard]] std::string folder_of_backups(const std::string& folder) { return folder + "/backups"; }
[[nodiscard]] std::string staged(const std::string& folder) { return folder + "/state.db.new"; }

template <class F>
struct Finally {
  explicit Finally(F f) : task(std::move(f)) {}
  Finally(const Finally&) = delete;
  Finally& operator=(const Finally&) = delete;
  ~Finally() { task(); }
  F task;
};

/// The log is moved first, and comes back last: without it the database is an older one, and no other.
constexpr std::array kFiles{"state.db-wal", "state.db-shm", "state.db"};

[[nodiscard]] Result<void> make_private(const std::string& folder) {
  if (::mkdir(folder.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return failed("create " + folder, std::strerror(errno));
}

[[nodiscard]] Result<std::uint64_t> seq_of(const std::string& file) {
  auto db = Database::open(file, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW);
  if (!db) return std::unexpected(db.error());
  sqlite3_busy_timeout((*db)->handle(), 2000);
  Query q(**db, "SELECT seq FROM store WHERE id = 1");
  const auto row = q.next();
  if (!row) return std::unexpected(row.error());
  return *row ? q.count(0) : 0;
}

[[nodiscard]] Result<Damage> find_damage(Database& db, const std::string& file) {
  const auto content = identify(db, file);
  if (!content) return std::unexpected(content.error());
  if (*content != Content::ours) return "it holds nothing";
  auto damage = find_damaged_pages(db);
  if (!damage || *damage || schema_of(db) != kSchemaVersion) return damage;
  add_checksums(db);
  return find_damaged_rows(db, std::numeric_limits<std::uint64_t>::max());
}

/// What cannot be read is as good as damaged, unless the failure says nothing about the file.
[[nodiscard]] Result<Damage> check_file(const std::string& file) {
  auto db = Database::open(file, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW);
  if (!db) return std::unexpected(db.error());
  auto damage = find_damage(**db, file);
  if (damage || (*db)->refused()) return damage;
  return damage.error().message;
}

[[nodiscard]] std::optional<std::uint64_t> number_of(std::string_view text) {
  std::uint64_t out = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), out);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() ? std::optional(out) : std::nullopt;
}

/// By the name of its file, state-NUMBER-TIME-SEQ.db; those of earlier versions had no number. Empty: it is no backup.
[[nodiscard]] std::optional<Backup> backup_of(const std::string& file) {
  constexpr std::string_view kBegin = "state-";
  constexpr std::string_view kEnd = ".db";
  if (!file.starts_with(kBegin) || !file.ends_with(kEnd) || file.size() < kBegin.size() + kEnd.size())
    return std::nullopt;
  const std::string_view inner =
      std::string_view(file).substr(kBegin.size(), file.size() - kBegin.size() - kEnd.size());
  const auto first = inner.find('-');
  const auto last = inner.rfind('-');
  if (first == std::string_view::npos) return std::nullopt;
  const auto number = first == last ? std::optional<std::uint64_t>(0) : number_of(inner.substr(0, first));
  const auto seq = number_of(inner.substr(last + 1));
  if (!number || !seq || *number > kMaxNumber) return std::nullopt;
  return Backup{file, *seq, 0, *number};
}

/// True: the file begins as a database does, and is as long as its header says.
[[nodiscard]] bool looks_whole(const std::string& file) {
  constexpr std::string_view kMagic("SQLite format 3\0", 16);
  constexpr std::size_t kHeader = 100;
  std::array<unsigned char, kHeader> header{};
  std::ifstream in(file, std::ios::binary);
  if (!in.read(reinterpret_cast<char*>(header.data()), kHeader)) return false;
  if (!std::equal(kMagic.begin(), kMagic.end(), header.begin())) return false;
  const auto number = [&](std::size_t at, std::size_t bytes) {
    std::uint64_t out = 0;
    for (std::size_t i = 0; i < bytes; ++i) out = out << 8U | header.at(at + i);
    return out;
  };
  const std::uint64_t page = number(16, 2) == 1 ? 65'536 : number(16, 2);
  std::error_code none;
  return fs::file_size(file, none) == page * number(28, 4);
}

/// One that was cut or overwritten takes no sound one's place; it stays for people to look at.
void drop_oldest(const std::string& folder, std::size_t keep) {
  auto all = list_backups(folder).value_or(std::vector<Backup>());
  std::erase_if(all, [&](const Backup& one) { return !looks_whole(folder_of_backups(folder) + "/" + one.file); });
  for (std::size_t i = keep; i < all.size(); ++i) ::unlink((folder_of_backups(folder) + "/" + all[i].file).c_str());
}

}  // namespace

Result<Backup> make_backup(const std::string& folder, std::int64_t wall_ms, std::size_t keep) {
  const std::string to = folder_of_backups(folder);
  if (auto ok = make_private(to); !ok) return std::unexpected(ok.error());
  const std::string fresh = to + "/new.db";
  const auto remove_fresh = [&] {
    for (const char* end : {"", "-journal", "-wal", "-shm"}) ::unlink((fresh + end).c_str());
  };
  remove_fresh();
  const Finally at_end(remove_fresh);  // what has become a backup has another name
  {
    if (auto ok = touch_private(fresh); !ok) return std::unexpected(ok.error());
    auto db = Database::open(folder + "/state.db", SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW);
    if (!db) return std::unexpected(db.error());
    sqlite3_busy_timeout((*db)->handle(), 2000);
    Query copy(**db, "VACUUM INTO ?", fresh);
    if (auto ok = copy.run(); !ok) return std::unexpected(ok.error());
  }
  const auto damage = check_file(fresh);
  if (!damage) return std::unexpected(damage.error());
  if (*damage) return failed("use the copy " + fresh, **damage);
  const auto seq = seq_of(fresh);
  if (!seq) return std::unexpected(seq.error());
  if (auto ok = sync_file(fresh); !ok) return std::unexpected(ok.error());
  // The wall clock may have been set back since the one before.
  const auto before = list_backups(folder);
  if (!before) return std::unexpected(before.error());
  const std::uint64_t number = before->empty() ? 1 : before->front().number + 1;
  Backup out{"state-" + std::to_string(number) + "-" + time_text(wall_ms) + "-" + std::to_string(*seq) + ".db", *seq, 0,
             number};
  std::error_code none;
  out.bytes = fs::file_size(fresh, none);
  if (::rename(fresh.c_str(), (to + "/" + out.file).c_str()) != 0)
    return failed("rename " + fresh, std::strerror(errno));
  if (auto ok = sync_folder(to); !ok) return std::unexpected(ok.error());
  drop_oldest(folder, keep);
  return out;
}

Result<std::uint64_t> newest_seq(const std::string& folder) { return seq_of(folder + "/state.db"); }

Result<std::vector<Backup>> list_backups(const std::string& folder) {
  const std::string from = folder_of_backups(folder);
  std::vector<Backup> out;
  std::error_code code;
  for (fs::directory_iterator at(from, code); !code && at != fs::directory_iterator(); at.increment(code)) {
    std::error_code gone;
    auto backup = backup_of(at->path().filename().string());
    if (!backup || at->symlink_status(gone).type() != fs::file_type::regular) continue;
    backup->bytes = at->file_size(gone);
    out.push_back(std::move(*backup));
  }
  if (code && code != std::errc::no_such_file_or_directory)
    return failed("list " + from, code.message() + advice_about(code.value()));
  std::ranges::sort(
      out, [](const Backup& a, const Backup& b) { return std::tie(a.number, a.file) > std::tie(b.number, b.file); });
  return out;
}

Result<Damage> check_backup(const std::string& folder, const Backup& backup) {
  return check_file(folder_of_backups(folder) + "/" + backup.file);
}

Result<std::string> quarantine(const std::string& folder, std::int64_t wall_ms) {
  if (auto ok = make_private(folder + "/quarantine"); !ok) return std::unexpected(ok.error());
  const std::string base = "quarantine/" + time_text(wall_ms);
  std::string to = base;
  for (int i = 2; ::mkdir((folder + "/" + to).c_str(), 0700) != 0; ++i) {
    if (errno != EEXIST) return failed("create " + to, std::strerror(errno));
    to = base + "-" + std::to_string(i);
  }
  const auto moved = [&]() -> Result<void> {
    for (const char* name : kFiles) {
      const std::string from = folder + "/" + name;
      if (::rename(from.c_str(), (folder + "/" + to + "/" + name).c_str()) != 0 && errno != ENOENT)
        return failed("move " + from, std::strerror(errno));
    }
    if (auto ok = sync_folder(folder + "/" + to); !ok) return ok;
    return sync_folder(folder);
  }();
  if (moved) return to;
  undo_quarantine(folder, to);
  return std::unexpected(moved.error());
}

void undo_quarantine(const std::string& folder, const std::string& from) {
  for (const char* name : kFiles | std::views::reverse)
    (void)::rename((folder + "/" + from + "/" + name).c_str(), (folder + "/" + name).c_str());
  (void)::rmdir((folder + "/" + from).c_str());
}

Result<void> stage(const std::string& folder, const Backup& backup) {
  auto copied = copy_private(folder_of_backups(folder) + "/" + backup.file, staged(folder));
  if (!copied) ::unlink(staged(folder).c_str());
  return copied;
}

Result<void> use_staged(const std::string& folder) {
  if (::rename(staged(folder).c_str(), (folder + "/state.db").c_str()) != 0)
    return failed("rename " + staged(folder), std::strerror(errno));
  return sync_folder(folder);
}

}  // namespace gantry::state
