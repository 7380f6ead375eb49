// SPDX-License-Identifier: Apache-2.0
//
// What lies on the disk in the place of a plugin's library, and what is done to it while the plugin runs.
#include <elf.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "host/plugins/library/elf.hpp"
#include "host/plugins/library/library_copies.hpp"
#include "host/services/plugin_spec.hpp"
#include "tests/folders.hpp"
#include "tests/other_user.hpp"
#include "tests/unit/support/plugin_set.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;
namespace fs = std::filesystem;

namespace {

constexpr std::array kIsolations{Isolation::in_line, Isolation::child};
const fs::path kMore = gantry::folders::build() + "/tests/plugins/more";

/// A host with the plugin `base`, whose library and manifest lie in a folder of the test's.
class Lying {
  TempDir dir_;

 public:
  explicit Lying(Isolation isolation, const std::function<void(const fs::path& library)>& change = {})
      : set(prepared(change), isolation, [&](Config& c) { c.plugins["base"].path = library().string(); }) {}
  [[nodiscard]] fs::path library() const { return dir_.path() / "base.so"; }
  [[nodiscard]] Result<json> call() { return set.call("base.pid"); }
  [[nodiscard]] std::string refusal() {
    const auto answer = call();
    REQUIRE_FALSE(answer);
    REQUIRE(answer.error().kind == ErrorKind::unavailable);
    REQUIRE(set.call("host.status"));
    return answer.error().message;
  }

 private:
  [[nodiscard]] std::vector<std::string> prepared(const std::function<void(const fs::path&)>& change) const {
    for (const char* kind : {".json", ".so"})
      fs::copy_file((kMore / "base").string() + kind, dir_.path() / (std::string("base") + kind));
    if (change) change(library());
    return {"base"};
  }

 public:
  PluginSet set;
};

void overwrite(const fs::path& file, std::size_t at, const std::string& bytes) {
  std::fstream out(file, std::ios::in | std::ios::out | std::ios::binary);
  out.seekp(static_cast<std::streamoff>(at));
  out << bytes;
}

[[nodiscard]] bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// Where the last segment that is loaded ends. What follows, for debuggers, nobody loads.
[[nodiscard]] std::uintmax_t loaded_end(const fs::path& library) {
  std::ifstream in(library, std::ios::binary);
  Elf64_Ehdr header{};
  in.read(reinterpret_cast<char*>(&header), sizeof header);
  in.seekg(static_cast<std::streamoff>(header.e_phoff));
  std::uintmax_t end = 0;
  for (int i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment{};
    in.read(reinterpret_cast<char*>(&segment), sizeof segment);
    if (segment.p_type == PT_LOAD) end = std::max<std::uintmax_t>(end, segment.p_offset + segment.p_filesz);
  }
  return end;
}

}  // namespace

TEST_CASE("libraries: one that is cut short is refused before it is loaded, by name and with its sizes") {
  const auto whole = loaded_end(kMore / "base.so");
  for (const auto isolation : kIsolations) {
    for (const auto size : {whole / 2, whole / 8, std::uintmax_t{100}, std::uintmax_t{3}, std::uintmax_t{0}}) {
      Lying t(isolation, [&](const fs::path& library) { fs::resize_file(library, size); });
      const auto why = t.refusal();
      INFO(why);
      REQUIRE((has(why, "is cut short: it has " + std::to_string(size) + " bytes") || has(why, "(file too short)")));
      REQUIRE(has(why, t.library().string()));
      REQUIRE_FALSE(has(why, ".libraries"));
    }
  }
}

TEST_CASE("libraries: the segments of one are compared with its file") {
  const TempDir dir;
  const auto library = dir.path() / "base.so";
  fs::copy_file(kMore / "base.so", library);
  REQUIRE(check_segments(library, "it"));
  const auto end = loaded_end(library);
  fs::resize_file(library, end);
  REQUIRE(check_segments(library, "it"));
  fs::resize_file(library, end - 1);
  REQUIRE(has(check_segments(library, "it").error().message, "it is cut short: it has " + std::to_string(end - 1) +
                                                                 " bytes and says that it has " + std::to_string(end)));
  REQUIRE(has(check_segments(dir.path() / "none.so", "it").error().message, "it cannot be read: No such file"));
}

TEST_CASE("libraries: what is no library, and one for another machine, are told for what they are") {
  for (const auto isolation : kIsolations) {
    CAPTURE(isolation);
    Lying text(isolation, [](const fs::path& library) { std::ofstream(library) << std::string(200, 'x'); });
    REQUIRE(has(text.refusal(), text.library().string() + " is no shared library (invalid ELF header)"));
    Lying foreign(isolation,
                  [](const fs::path& library) { overwrite(library, offsetof(Elf64_Ehdr, e_machine), "\xfe\xff"); });
    REQUIRE(has(foreign.refusal(), "is for another architecture (ELF machine 65534)"));
  }
}

TEST_CASE("libraries: a plugin runs on when its library is cut and written over, and a reload takes what lies there") {
  for (const auto isolation : kIsolations) {
    CAPTURE(isolation);
    Lying t(isolation);
    const auto before = t.call();
    REQUIRE(before);
    std::ifstream in(kMore / "middle.so", std::ios::binary);
    const std::string other((std::istreambuf_iterator<char>(in)), {});
    // As `cp` does: the same file, emptied and filled again.
    fs::resize_file(t.library(), 0);
    REQUIRE(t.call());
    REQUIRE(t.set.call("base.events"));
    std::ofstream(t.library(), std::ios::binary) << other;
    REQUIRE(t.call() == before);
    REQUIRE(t.set.call("base.dies", {{"file", ""}}));
    // Also an instance that is started now is of the build that the host has begun with.
    REQUIRE(t.set.call("plugin.reload", {{"name", "base"}}).error().kind == ErrorKind::unavailable);
    REQUIRE(t.call() == before);
    fs::copy_file(kMore / "base.so", t.library(), fs::copy_options::overwrite_existing);
    REQUIRE(t.set.call("plugin.reload", {{"name", "base"}}));
    REQUIRE(t.call());
  }
}

TEST_CASE("libraries: one that never ran is taken as it lies there once it was mended") {
  for (const auto isolation : kIsolations) {
    CAPTURE(isolation);
    Lying t(isolation, [](const fs::path& library) { fs::resize_file(library, 5000); });
    REQUIRE(has(t.refusal(), "is cut short"));
    fs::remove(t.library());
    fs::copy_file(kMore / "base.so", t.library());
    fs::last_write_time(t.library(), fs::last_write_time(t.library()) + std::chrono::seconds(2));
    REQUIRE(t.call());
  }
}

TEST_CASE("libraries: what the loader refuses names the user's file and what is missing, not the copy") {
  for (const auto isolation : kIsolations) {
    // The version of a library that it needs, or that library: here another name of the same length.
    Lying t(isolation, [](const fs::path& library) {
      std::ifstream in(library, std::ios::binary);
      std::string bytes((std::istreambuf_iterator<char>(in)), {});
      const auto at = bytes.find("libstdc++.so.6");
      REQUIRE(at != std::string::npos);
      overwrite(library, at, "libstdcxx.so.9");
    });
    const auto why = t.refusal();
    INFO(why);
    REQUIRE(has(why, "libstdcxx.so.9"));
    REQUIRE_FALSE(has(why, ".libraries"));
    // A symbol that nobody has: here the loader names the file that it has opened.
    Lying lost(isolation, [](const fs::path& library) {
      std::ifstream in(library, std::ios::binary);
      const std::string bytes((std::istreambuf_iterator<char>(in)), {});
      const auto at = bytes.find(std::string("\0__cxa_allocate_exception\0", 26));
      REQUIRE(at != std::string::npos);
      overwrite(library, at + 1, "__cxa_allocate_exceptiox");
    });
    const auto symbol = lost.refusal();
    INFO(symbol);
    REQUIRE(has(symbol, lost.library().string() + ": undefined symbol: __cxa_allocate_excepti"));
    REQUIRE_FALSE(has(symbol, ".libraries"));
  }
}

TEST_CASE("libraries: a plugin is told where its library lies, and finds what lies beside it") {
  for (const auto isolation : kIsolations) {
    const TempDir dir;
    fs::create_directory(dir.path() / "shelf");
    fs::copy_file(kMore / "shelf" / "libbeside.so", dir.path() / "shelf" / "libbeside.so");
    for (const char* file : {"leaning.so", "leaning.json"}) fs::copy_file(kMore / file, dir.path() / file);
    PluginSet t({"leaning", "meddler"}, isolation,
                [&](Config& c) { c.plugins["leaning"].path = (dir.path() / "leaning.so").string(); });
    const auto answer = t.call("leaning.asks");
    INFO((answer ? "" : answer.error().message));
    REQUIRE(answer);
    REQUIRE((*answer)["answer"] == 42);
    const auto where = *t.call("meddler.where");
    REQUIRE(where["library"] == (kMore / "meddler.so").string());
    REQUIRE(where["loaded"] != where["library"]);
  }
}

TEST_CASE("libraries: what lies beside one and is cut short is refused as well") {
  const TempDir dir;
  fs::create_directory(dir.path() / "shelf");
  fs::copy_file(kMore / "shelf" / "libbeside.so", dir.path() / "shelf" / "libbeside.so");
  fs::resize_file(dir.path() / "shelf" / "libbeside.so", 1000);
  for (const char* file : {"leaning.so", "leaning.json"}) fs::copy_file(kMore / file, dir.path() / file);
  PluginSet t({"leaning"}, Isolation::in_line,
              [&](Config& c) { c.plugins["leaning"].path = (dir.path() / "leaning.so").string(); });
  REQUIRE(
      has(t.call("leaning.asks").error().message, (dir.path() / "shelf" / "libbeside.so").string() + " is cut short"));
}

TEST_CASE("libraries: a host leaves the copies of another that runs alone, and removes those of one that is gone") {
  const TempDir dir;
  const auto folder = dir.path() / "copies";
  fs::create_directory(folder);
  const pid_t other = ::fork();
  if (other == 0) {
    (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);  // also when the test fails
    while (true) (void)::pause();
  }
  const auto theirs = folder / ("swap." + std::to_string(other) + ".1.so");
  std::ofstream(theirs) << "in use";
  const std::string own = "swap." + std::to_string(::getpid()) + ".1.so";  // of one before, in a container
  for (const auto& name : {std::string("swap.999999999.1.so"), own, std::string("swap.so"), std::string("x")})
    std::ofstream(folder / name) << "left behind";
  LibraryCopies copies(folder);
  REQUIRE(fs::exists(theirs));
  REQUIRE(std::distance(fs::directory_iterator(folder), fs::directory_iterator()) == 1);
  ::kill(other, SIGKILL);
  REQUIRE(::waitpid(other, nullptr, 0) == other);
  LibraryCopies next(folder);
  REQUIRE(fs::is_empty(folder));
}

TEST_CASE("libraries: without a folder for copies an inline plugin's is in memory, and runs on as well") {
  const TempDir dir;
  std::ofstream(dir.path() / "file") << "where the folder should be";
  LibraryCopies copies(dir.path() / "file");
  const auto refused = copies.take("base", kMore / "base.so");
  REQUIRE(refused.error().kind == ErrorKind::storage_failed);
  REQUIRE(has(refused.error().message, "cannot be copied into " + (dir.path() / "file").string()));
  const auto first = copies.take_anywhere("base", kMore / "base.so");
  const auto second = copies.take_anywhere("base", kMore / "base.so");
  REQUIRE(first);
  REQUIRE(second);
  REQUIRE(*first != *second);
  REQUIRE(check_segments(*first, "it"));
  REQUIRE(fs::file_size(*first) == fs::file_size(kMore / "base.so"));
  LibraryCopies::drop(*first);
  REQUIRE(check_segments(*first, "it"));
}

TEST_CASE("libraries: a folder that this user may not enter, and a file that it may not read, are said so") {
  const TempDir dir;
  fs::permissions(dir.path(), fs::perms::all);
  for (const char* name : {"closed", "open"}) fs::create_directory(dir.path() / name);
  for (const char* kind : {".so", ".json"}) {
    for (const char* name : {"closed", "open"})
      fs::copy_file((kMore / "base").string() + kind, dir.path() / name / (std::string("base") + kind));
  }
  fs::permissions(dir.path() / "closed", fs::perms::none);
  fs::permissions(dir.path() / "open" / "base.json", fs::perms::none);
  const auto failure_of = [&](const fs::path& library) {
    PluginSpec wanted;
    wanted.name = "base";
    wanted.library = library;
    return find_plugins(dir.path() / "none", {wanted}).front().failure;
  };
  const pid_t child = gantry::test::start_without_root([&] {
    if (!has(failure_of(dir.path() / "closed" / "base.so"), "base.so cannot be looked at: Permission denied")) return 1;
    if (!has(failure_of(dir.path() / "open" / "base.so"), "base.json cannot be read: Permission denied")) return 2;
    if (!has(failure_of(dir.path() / "nowhere" / "base.so"), "base.so does not exist")) return 3;
    if (!has(unreadable_folder(dir.path() / "closed"), "cannot be read: Permission denied")) return 4;
    if (!unreadable_folder(dir.path() / "nowhere").empty()) return 5;
    return 0;
  });
  REQUIRE(gantry::test::exit_code(child) == 0);
  fs::permissions(dir.path() / "closed", fs::perms::owner_all);
}
