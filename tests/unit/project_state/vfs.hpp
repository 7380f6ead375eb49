// SPDX-License-Identifier: Apache-2.0
//
// An SQLite VFS of a test's own between the plugin's SQLite and the real file system (both share one libsqlite3): it
// passes everything on but what the test sees to.
#pragma once

#include <sqlite3.h>

#include <catch2/catch.hpp>
#include <string>

namespace state_test {

struct VfsFile {
  sqlite3_file base;
  sqlite3_file* real;
  const char* name;  ///< SQLite's, as long as the file is open; nullptr: it is none of state.db, -wal, -shm
};
inline VfsFile* vfs_file(sqlite3_file* file) { return reinterpret_cast<VfsFile*>(file); }
inline sqlite3_file* real(sqlite3_file* file) { return vfs_file(file)->real; }
inline sqlite3_vfs* below() {
  static sqlite3_vfs* const vfs = sqlite3_vfs_find("unix");
  return vfs;
}

/// Passes everything on.
inline constexpr sqlite3_io_methods kPassing{
    3,
    [](sqlite3_file* f) { return real(f)->pMethods->xClose(real(f)); },
    [](sqlite3_file* f, void* to, int n, sqlite3_int64 at) { return real(f)->pMethods->xRead(real(f), to, n, at); },
    [](sqlite3_file* f, const void* from, int n, sqlite3_int64 at) {
      return real(f)->pMethods->xWrite(real(f), from, n, at);
    },
    [](sqlite3_file* f, sqlite3_int64 size) { return real(f)->pMethods->xTruncate(real(f), size); },
    [](sqlite3_file* f, int flags) { return real(f)->pMethods->xSync(real(f), flags); },
    [](sqlite3_file* f, sqlite3_int64* size) { return real(f)->pMethods->xFileSize(real(f), size); },
    [](sqlite3_file* f, int how) { return real(f)->pMethods->xLock(real(f), how); },
    [](sqlite3_file* f, int how) { return real(f)->pMethods->xUnlock(real(f), how); },
    [](sqlite3_file* f, int* out) { return real(f)->pMethods->xCheckReservedLock(real(f), out); },
    [](sqlite3_file* f, int op, void* arg) { return real(f)->pMethods->xFileControl(real(f), op, arg); },
    [](sqlite3_file* f) { return real(f)->pMethods->xSectorSize(real(f)); },
    [](sqlite3_file* f) { return real(f)->pMethods->xDeviceCharacteristics(real(f)); },
    [](sqlite3_file* f, int page, int size, int extend, void volatile** out) {
      return real(f)->pMethods->xShmMap(real(f), page, size, extend, out);
    },
    [](sqlite3_file* f, int at, int n, int flags) { return real(f)->pMethods->xShmLock(real(f), at, n, flags); },
    [](sqlite3_file* f) { real(f)->pMethods->xShmBarrier(real(f)); },
    [](sqlite3_file* f, int remove) { return real(f)->pMethods->xShmUnmap(real(f), remove); },
    [](sqlite3_file* f, sqlite3_int64 at, int n, void** out) { return real(f)->pMethods->xFetch(real(f), at, n, out); },
    [](sqlite3_file* f, sqlite3_int64 at, void* p) { return real(f)->pMethods->xUnfetch(real(f), at, p); }};

/// In the place of the real one while it lives. `kMethods`: kPassing, with what the test sees to.
template <const sqlite3_io_methods& kMethods>
class TestVfs {
 public:
  explicit TestVfs(const char* name) {
    vfs_.pNext = nullptr;
    vfs_.zName = name;
    vfs_.szOsFile = static_cast<int>(sizeof(VfsFile)) + below()->szOsFile;
    vfs_.xOpen = [](sqlite3_vfs*, sqlite3_filename file, sqlite3_file* out, int flags, int* out_flags) {
      auto* const made = vfs_file(out);
      made->real = reinterpret_cast<sqlite3_file*>(made + 1);
      made->name = file != nullptr && std::string(file).find("/state.db") != std::string::npos ? file : nullptr;
      const int code = below()->xOpen(below(), file, made->real, flags, out_flags);
      made->base.pMethods = made->real->pMethods == nullptr ? nullptr : &kMethods;
      return code;
    };
    REQUIRE(sqlite3_vfs_register(&vfs_, 1) == SQLITE_OK);
  }
  TestVfs(const TestVfs&) = delete;
  TestVfs& operator=(const TestVfs&) = delete;
  ~TestVfs() { sqlite3_vfs_unregister(&vfs_); }

 private:
  sqlite3_vfs vfs_ = *below();
};

}  // namespace state_test
