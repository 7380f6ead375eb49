// SPDX-License-Identifier: Apache-2.0
#include "host/trust/trust_store.hpp"

#include <sys/stat.h>

#include "tests/unit/support/host.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

const std::vector<Grant> kNetwork{{GrantKind::network, {}}};
const std::vector<Grant> kCalls{{GrantKind::call, "echo.*"}};

struct Kept {
  TempDir dir;
  std::filesystem::path file = dir.path() / "state" / "trust.json";

  void put(const std::string& text) const {
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
    std::filesystem::permissions(file, std::filesystem::perms{0600});
  }
  [[nodiscard]] std::string text() const {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
  }
};

}  // namespace

TEST_CASE("trust: what was trusted is there after a restart in a file of the user's own") {
  const Kept kept;
  {
    TrustStore store(kept.file);
    REQUIRE(store.load());
    REQUIRE(store.trust_plugin("notes", "/opt/notes.so", kNetwork));
    REQUIRE(store.trust_plugin("notes", "/opt/./notes.so", kCalls));
    REQUIRE(store.trust_folder("/src", "abc"));
  }
  struct stat info{};
  REQUIRE(::stat(kept.file.c_str(), &info) == 0);
  REQUIRE((info.st_mode & 0777) == 0600);
  TrustStore store(kept.file);
  REQUIRE(store.load());
  REQUIRE(store.grants_of("notes", "/opt/notes.so") == std::vector<Grant>{kNetwork[0], kCalls[0]});
  REQUIRE(store.digest_of("/src") == "abc");
  REQUIRE(store.grants_of("notes", "/tmp/notes.so").empty());
  REQUIRE(store.grants_of("other", "/opt/notes.so").empty());
}

TEST_CASE("trust: another library of the same name begins with nothing") {
  const Kept kept;
  TrustStore store(kept.file);
  REQUIRE(store.trust_plugin("notes", "/opt/notes.so", kNetwork));
  REQUIRE(store.trust_plugin("notes", "/tmp/notes.so", kCalls));
  REQUIRE(store.grants_of("notes", "/tmp/notes.so") == kCalls);
  REQUIRE(store.grants_of("notes", "/opt/notes.so").empty());
}

TEST_CASE("trust: hosts that share a state folder lose nothing of each other") {
  const Kept kept;
  TrustStore one(kept.file);
  TrustStore other(kept.file);
  REQUIRE(one.load());
  REQUIRE(other.load());
  REQUIRE(one.trust_folder("/a", "1"));
  REQUIRE(other.trust_folder("/b", "2"));
  REQUIRE(one.revoke_folder("/b"));
  REQUIRE(one.revoke_folder("/b").error().kind == ErrorKind::not_found);
  TrustStore later(kept.file);
  REQUIRE(later.load());
  REQUIRE(later.digest_of("/a") == "1");
  REQUIRE_FALSE(later.digest_of("/b"));
}

TEST_CASE("trust: a store that is damaged or not the user's own trusts nothing and is not written over") {
  const Kept kept;
  {
    TrustStore store(kept.file);
    REQUIRE(store.trust_folder("/src", "abc"));
  }
  std::string why;
  SECTION("cut") {
    kept.put(kept.text().substr(0, 20));
    why = "is damaged";
  }
  SECTION("of a later version") {
    kept.put(R"({"version":2,"plugins":{},"folders":{}})");
    why = "its version is not 1";
  }
  SECTION("with a grant that there is not") {
    kept.put(R"({"version":1,"plugins":{"a":{"library":"/a","grants":["all"],"at":""}},"folders":{}})");
    why = "is damaged";
  }
  SECTION("of a wrong shape") {
    kept.put(R"({"version":1,"plugins":[],"folders":{"/src":"abc"}})");
    why = "is damaged";
  }
  SECTION("writable by others") {
    std::filesystem::permissions(kept.file, std::filesystem::perms{0622});
    why = "may be written by other users";
  }
  SECTION("a link") {
    const auto elsewhere = kept.dir.path() / "elsewhere";
    std::filesystem::rename(kept.file, elsewhere);
    std::filesystem::create_symlink(elsewhere, kept.file);
    why = "cannot be read";
  }
  SECTION("too large") {
    kept.put(std::string(TrustStore::kMaxBytes + 1, ' '));
    why = "is larger than";
  }
  const auto before = kept.text();
  TrustStore store(kept.file);
  const auto loaded = store.load();
  REQUIRE(loaded.error().kind == ErrorKind::storage_failed);
  INFO(loaded.error().message);
  REQUIRE(loaded.error().message.find(why) != std::string::npos);
  REQUIRE_FALSE(store.digest_of("/src"));
  REQUIRE(store.trust_folder("/more", "1").error().kind == ErrorKind::storage_failed);
  REQUIRE(kept.text() == before);
}

TEST_CASE("trust: the store is bounded") {
  const Kept kept;
  TrustStore store(kept.file);
  std::vector<Grant> many;
  for (std::size_t i = 0; i <= TrustStore::kMaxGrants; ++i) many.push_back({GrantKind::call, "m" + std::to_string(i)});
  REQUIRE(store.trust_plugin("greedy", "/greedy.so", many).error().kind == ErrorKind::overloaded);
  REQUIRE(store.grants_of("greedy", "/greedy.so").empty());
  json folders = json::object();
  for (std::size_t i = 0; i < TrustStore::kMaxFolders; ++i)
    folders["/f" + std::to_string(i)] = {{"digest", "1"}, {"at", ""}};
  kept.put(dump_json({{"version", 1}, {"plugins", json::object()}, {"folders", folders}}));
  REQUIRE(store.trust_folder("/one/more", "1").error().kind == ErrorKind::overloaded);
  REQUIRE(store.trust_folder("/f1", "2"));
}
