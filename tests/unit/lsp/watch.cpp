// SPDX-License-Identifier: Apache-2.0
//
// What has changed in a tree of folders.
#include "plugins/lsp/watch.hpp"
#include "tests/unit/lsp/support.hpp"

using namespace lsp_test;
using gantry::lsp::FileChange;
using gantry::lsp::TreeWatch;

namespace {

using Seen = std::map<std::string, FileChange>;

}  // namespace

TEST_CASE("lsp watch: each look tells what has changed since the last, by what became of it") {
  TempDir dir;
  const auto a = dir.write("deep/er/a.h", "1"), b = dir.write("b.h", "1");
  TreeWatch watch(dir.path());
  REQUIRE_FALSE(watch.blind());
  REQUIRE_FALSE(watch.look().any());
  dir.write("deep/er/a.h", "2");
  std::filesystem::remove(b);
  const auto c = dir.write("c.h", "1");
  dir.write("c.h", "2");
  REQUIRE(watch.look().files == Seen{{a, FileChange::changed}, {b, FileChange::deleted}, {c, FileChange::created}});
  REQUIRE_FALSE(watch.look().any());
  std::filesystem::remove(c);
  dir.write("c.h", "3");
  REQUIRE(watch.look().files == Seen{{c, FileChange::changed}});
}

TEST_CASE("lsp watch: folders that come are looked into, those that go are not, and links are followed once") {
  TempDir dir, elsewhere;
  TreeWatch watch(dir.path());
  const auto a = dir.write("new/er/a.h", "");
  REQUIRE(watch.look().files.contains(a));
  dir.write("new/er/a.h", "2");
  REQUIRE(watch.look().files == Seen{{a, FileChange::changed}});
  std::filesystem::rename(dir / "new", elsewhere / "moved");
  REQUIRE(watch.look().files == Seen{{dir / "new", FileChange::deleted}});
  elsewhere.write("moved/er/a.h", "3");
  REQUIRE_FALSE(watch.look().any());
  std::filesystem::create_directory_symlink(elsewhere.path(), dir / "link");
  std::filesystem::create_directory_symlink(dir.path(), elsewhere / "back");
  REQUIRE(watch.look().files ==
          Seen{{dir / "link", FileChange::created}, {dir / "link/moved/er/a.h", FileChange::created}});
  elsewhere.write("moved/b.h", "");
  REQUIRE(watch.look().files == Seen{{dir / "link/moved/b.h", FileChange::created}});
  REQUIRE_FALSE(watch.blind());
}

TEST_CASE("lsp watch: what version control, caches and compilers write is not told") {
  TempDir dir;
  dir.write("target/CACHEDIR.TAG", "");
  dir.write(".git/index", "");
  TreeWatch watch(dir.path());
  for (const auto* file : {".git/index", "target/debug/a.rs", ".cache/x", "node_modules/p/i.js", "a.o", "lib.so"})
    dir.write(file, "x");
  REQUIRE_FALSE(watch.look().any());
}

TEST_CASE("lsp watch: more changes than the bound are lost, and said to be") {
  TempDir dir;
  TreeWatch watch(dir.path());
  for (std::size_t i = 0; i <= TreeWatch::kMaxChanges; ++i) dir.write(std::to_string(i) + ".h", "");
  const auto changes = watch.look();
  REQUIRE(changes.lost);
  REQUIRE(changes.files.size() == TreeWatch::kMaxChanges);
}

TEST_CASE("lsp watch: a tree with more folders than the bound is not seen whole") {
  TempDir dir;
  constexpr std::size_t kBound = 8;
  for (std::size_t i = 1; i < kBound; ++i) std::filesystem::create_directory(dir / std::to_string(i));
  REQUIRE_FALSE(TreeWatch(dir.path(), {.folders = kBound}).blind());  // with the root they are as many
  std::filesystem::create_directory(dir / "one more");
  REQUIRE(TreeWatch(dir.path(), {.folders = kBound}).blind());
}
