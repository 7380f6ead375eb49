// SPDX-License-Identifier: Apache-2.0
//
// The files: bounded, private, and whole lines only, also when the disk refuses.
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <host/observe/rotating_file.hpp>
#include <set>
#include <tests/unit/observe/log_support.hpp>
#include <thread>
#include "tests/other_user.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace log_test;

namespace {

unsigned mode(const fs::path& path) {
  struct stat info{};
  REQUIRE(::stat(path.c_str(), &info) == 0);
  return info.st_mode & 0777U;
}

// While it lives, no file of this process can grow beyond `bytes`: what a full disk does, at an exact byte.
struct FullDisk {
  rlimit before{};
  explicit FullDisk(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    const rlimit limit{bytes, before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  }
  ~FullDisk() { ::setrlimit(RLIMIT_FSIZE, &before); }
};

}  // namespace

TEST_CASE("log: the file and its folders are made, for the user alone") {
  const Folder folder;
  const auto file = folder.path / "a" / "b" / "g.log";
  opened(options(file))->write(Level::info, "a", "x");
  REQUIRE(mode(folder.path / "a") == 0700);
  REQUIRE(mode(folder.path / "a" / "b") == 0700);
  REQUIRE(mode(file) == 0600);
}

TEST_CASE("log: a file that others could read is made private") {
  const Folder folder;
  const auto file = folder.path / "g.log";
  std::ofstream(file) << "before\n";
  REQUIRE(::chmod(file.c_str(), 0644) == 0);
  opened(options(file))->write(Level::info, "a", "x");
  REQUIRE(mode(file) == 0600);
  REQUIRE(text_of(file) == "before\n2026-01-31T12:00:00.123Z INFO  a: x\n");
}

TEST_CASE("log: records below the level are not written, and the level changes at once") {
  const Folder folder;
  const auto log = opened(options(folder.path / "g.log"));
  REQUIRE(log->enabled(Level::info));
  REQUIRE_FALSE(log->enabled(Level::debug));
  log->write(Level::debug, "a", "hidden");
  log->set_level(Level::debug);
  log->write(Level::debug, "a", "shown");
  log->set_level(Level::error);
  log->write(Level::warn, "a", "hidden");
  REQUIRE(text_of(folder.path / "g.log") == "2026-01-31T12:00:00.123Z DEBUG a: shown\n");
}

TEST_CASE("log: a record is in the file when write returns, also below warn") {
  const Folder folder;
  const auto log = opened(options(folder.path / "g.log"));
  log->write(Level::info, "a", "x");
  REQUIRE(text_of(folder.path / "g.log").size() == 36);
  log->flush();
  REQUIRE(log->dropped() == 0);
}

TEST_CASE("log: files are rotated, and never more or larger than asked for") {
  const Folder folder;
  auto options = log_test::options(folder.path / "g.log");
  options.file_max_bytes = kMaxLogLine;
  options.files = 3;
  const auto log = opened(std::move(options));
  const std::string padding(1000, 'x');
  for (int i = 0; i < 100; ++i) {
    log->write(Level::info, "a", std::to_string(i) + padding);
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder.path)) {
      CAPTURE(entry.path());
      REQUIRE(entry.file_size() <= kMaxLogLine);
      names.insert(entry.path().filename().string());
    }
    REQUIRE(names.size() <= 3);
    if (i > 30) REQUIRE(names == std::set<std::string>{"g.log", "g.1.log", "g.2.log"});
  }
  REQUIRE(log->dropped() == 0);
  // The newest records are all there, in order, through all files.
  std::string all;
  for (std::uint32_t i = 3; i-- > 0;) all += text_of(log_file_name(folder.path / "g.log", i));
  int next = 100 - static_cast<int>(std::count(all.begin(), all.end(), '\n'));
  REQUIRE(next <= 100 - 15);
  std::istringstream lines(all);
  for (std::string line; std::getline(lines, line);)
    REQUIRE_THAT(line, Catch::EndsWith(": " + std::to_string(next++) + padding));
  REQUIRE(next == 100);
  for (std::uint32_t i = 0; i < 3; ++i) {
    CAPTURE(i);
    REQUIRE(mode(log_file_name(folder.path / "g.log", i)) == 0600);
  }
}

TEST_CASE("log: a single file is emptied when it is full") {
  const Folder folder;
  auto options = log_test::options(folder.path / "g.log");
  options.file_max_bytes = kMaxLogLine;
  options.files = 1;
  const auto log = opened(std::move(options));
  for (int i = 0; i < 20; ++i) log->write(Level::info, "a", std::string(1000, 'x'));
  REQUIRE(fs::file_size(folder.path / "g.log") <= kMaxLogLine);
  REQUIRE(std::distance(fs::directory_iterator(folder.path), fs::directory_iterator()) == 1);
}

TEST_CASE("log: a file that was full before is rotated by the next start") {
  const Folder folder;
  std::ofstream(folder.path / "g.log") << std::string(kMaxLogLine, 'x');
  auto options = log_test::options(folder.path / "g.log");
  options.file_max_bytes = kMaxLogLine;
  opened(std::move(options))->write(Level::info, "a", "x");
  REQUIRE(fs::file_size(folder.path / "g.1.log") == kMaxLogLine);
  REQUIRE(fs::file_size(folder.path / "g.log") == 36);
}

TEST_CASE("log: a full disk drops whole records, counts them, and is left behind when there is room again") {
  const Folder folder;
  const auto file = folder.path / "g.log";
  const auto log = opened(options(file));
  log->write(Level::info, "a", "1");
  {
    const FullDisk full(60);  // room for half of the next record
    log->write(Level::info, "a", "2");
    log->write(Level::error, "a", "3");
  }
  REQUIRE(log->dropped() == 2);
  log->write(Level::info, "a", "4");
  REQUIRE(text_of(file) == "2026-01-31T12:00:00.123Z INFO  a: 1\n2026-01-31T12:00:00.123Z INFO  a: 4\n");
  REQUIRE(log->dropped() == 2);
}

TEST_CASE("log: a file that was deleted is made again, with its folder") {
  const Folder folder;
  const auto log = opened(options(folder.path / "logs" / "g.log"));
  log->write(Level::info, "a", "1");
  fs::remove_all(folder.path / "logs");
  log->write(Level::info, "a", "2");
  REQUIRE(text_of(folder.path / "logs" / "g.log") == "2026-01-31T12:00:00.123Z INFO  a: 2\n");
  REQUIRE(log->dropped() == 0);
}

TEST_CASE("log: a file that was renamed is followed by a new one under its name") {
  const Folder folder;
  const auto file = folder.path / "g.log";
  const auto log = opened(options(file));
  log->write(Level::info, "a", "1");
  fs::rename(file, folder.path / "g.log.1");
  log->write(Level::info, "a", "2");
  REQUIRE(text_of(folder.path / "g.log.1") == "2026-01-31T12:00:00.123Z INFO  a: 1\n");
  REQUIRE(text_of(file) == "2026-01-31T12:00:00.123Z INFO  a: 2\n");
  REQUIRE(mode(file) == 0600);
  // Another one in its place is not written over.
  fs::rename(file, folder.path / "g.log.2");
  std::ofstream(file) << "theirs\n";
  log->write(Level::info, "a", "3");
  REQUIRE(text_of(file) == "theirs\n2026-01-31T12:00:00.123Z INFO  a: 3\n");
  REQUIRE(log->dropped() == 0);
}

TEST_CASE("log: a file that was renamed takes the lines for which no new one can be made") {
  const Folder folder;
  const auto file = folder.path / "g.log";
  const auto log = opened(options(file));
  fs::rename(file, folder.path / "moved");
  fs::create_symlink("nowhere", file);
  log->write(Level::info, "a", "1");
  REQUIRE(text_of(folder.path / "moved") == "2026-01-31T12:00:00.123Z INFO  a: 1\n");
  REQUIRE(log->dropped() == 0);
}

TEST_CASE("log: a file that another one shortens or writes to is rotated by what is in it") {
  const Folder folder;
  const auto file = folder.path / "g.log";
  auto options = log_test::options(file);
  options.file_max_bytes = kMaxLogLine;
  const auto log = opened(std::move(options));
  const std::string long_text(kMaxLogLine / 2, 'x');
  log->write(Level::info, "a", long_text);
  fs::resize_file(file, 0);
  log->write(Level::info, "a", long_text);
  REQUIRE(!fs::exists(folder.path / "g.1.log"));
  std::ofstream(file, std::ios::app) << long_text;
  log->write(Level::info, "a", "next");
  REQUIRE(fs::exists(folder.path / "g.1.log"));
}

TEST_CASE("log: when the next file cannot be opened records are dropped, and taken again once it can") {
  const Folder folder;
  auto options = log_test::options(folder.path / "logs" / "g.log");
  options.file_max_bytes = kMaxLogLine;
  const auto log = opened(std::move(options));
  const std::string long_text(5000, 'x');
  log->write(Level::info, "a", long_text);
  fs::remove_all(folder.path / "logs");
  std::ofstream(folder.path / "logs") << "in the way";
  log->write(Level::info, "a", long_text);
  log->write(Level::info, "a", "short");  // would fit behind the first record
  REQUIRE(log->dropped() == 2);
  fs::remove(folder.path / "logs");
  log->write(Level::info, "a", "x");
  REQUIRE(text_of(folder.path / "logs" / "g.log") == "2026-01-31T12:00:00.123Z INFO  a: x\n");
}

TEST_CASE("log: where files cannot be renamed the bound holds all the same") {
  const Folder folder;
  auto options = log_test::options(folder.path / "g.log");
  options.file_max_bytes = kMaxLogLine;
  options.files = 2;
  const auto log = opened(std::move(options));
  fs::create_directories(folder.path / "g.1.log" / "in the way");
  for (int i = 0; i < 20; ++i) {
    log->write(Level::info, "a", std::string(1000, 'x'));
    REQUIRE(fs::file_size(folder.path / "g.log") <= kMaxLogLine);
  }
  REQUIRE(log->dropped() == 0);
}

TEST_CASE("log: links, folders and pipes in the place of the file are refused, and never waited for") {
  const Folder folder;
  const auto refusal = [&](const fs::path& file) {
    const auto log = Log::open(options(file));
    REQUIRE_FALSE(log);
    REQUIRE(log.error().kind == ErrorKind::storage_failed);
    return log.error().message;
  };
  std::ofstream(folder.path / "target") << "kept";
  fs::create_symlink(folder.path / "target", folder.path / "link");
  REQUIRE_THAT(refusal(folder.path / "link"),
               Catch::StartsWith("the log file " + (folder.path / "link").string() +
                                 " cannot be opened: Too many levels of symbolic links"));
  REQUIRE(text_of(folder.path / "target") == "kept");
  REQUIRE_THAT(refusal(folder.path), Catch::Contains("Is a directory"));
  REQUIRE_THAT(refusal(folder.path / "target" / "g.log"), Catch::Contains("Not a directory"));
  REQUIRE(::mkfifo((folder.path / "pipe").c_str(), 0600) == 0);
  (void)refusal(folder.path / "pipe");
}

TEST_CASE("log: without a file the log falls back to stderr, says why, and tells the host") {
  const Folder folder;
  std::ofstream(folder.path / "in the way") << "";
  const Pipe pipe;
  auto options = log_test::options(folder.path / "in the way" / "g.log");
  options.stderr_fd = pipe.writer();
  const auto log = Log::open_or_stderr(std::move(options));
  REQUIRE(log->problem());
  REQUIRE(log->problem()->kind == ErrorKind::storage_failed);
  log->write(Level::info, "a", "x");
  REQUIRE(pipe.taken() == "2026-01-31T12:00:00.123Z ERROR log: " + log->problem()->message +
                              "; logging to stderr only\n2026-01-31T12:00:00.123Z INFO  a: x\n");
}

TEST_CASE("log: a folder without write permission makes the log fall back") {
  const Folder folder;
  REQUIRE(::chmod(folder.path.c_str(), 0555) == 0);
  const auto child = gantry::test::start_without_root([&] {
    const auto log = Log::open(options(folder.path / "g.log"));
    return !log && log.error().message.find("Permission denied") != std::string::npos ? 0 : 1;
  });
  REQUIRE(gantry::test::exit_code(child) == 0);
}

TEST_CASE("log: with a file that opens there is no problem") {
  const Folder folder;
  const auto log = Log::open_or_stderr(options(folder.path / "g.log"));
  REQUIRE_FALSE(log->problem());
}

TEST_CASE("log: a log without file and stderr takes records and forgets them") {
  const auto log = opened(options({}));
  log->write(Level::error, "a", "x");
  log->flush();
  REQUIRE(log->dropped() == 0);
}

TEST_CASE("log: records of many threads stay whole, each thread's in order") {
  const Folder folder;
  constexpr int kThreads = 4;
  constexpr int kRecords = 500;
  auto options = log_test::options(folder.path / "g.log");
  options.file_max_bytes = 16384;
  options.files = 50;
  const auto log = opened(std::move(options));
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kRecords; ++i) log->write(Level::info, std::to_string(t), std::to_string(i) + " end");
      });
    }
    threads.emplace_back([&] {
      for (int i = 0; i < kRecords; ++i) {
        log->set_level(i % 2 == 0 ? Level::debug : Level::info);
        (void)log->enabled(Level::debug);
        (void)log->dropped();
      }
      log->flush();
    });
  }
  std::string all;
  for (std::uint32_t i = 50; i-- > 0;) all += text_of(log_file_name(folder.path / "g.log", i));
  std::vector<int> next(kThreads, 0);
  std::istringstream lines(all);
  const std::string head = "2026-01-31T12:00:00.123Z INFO  ";
  for (std::string line; std::getline(lines, line);) {
    REQUIRE_THAT(line, Catch::StartsWith(head));
    const int thread = line.at(head.size()) - '0';
    REQUIRE(line == head + std::to_string(thread) + ": " + std::to_string(next.at(static_cast<std::size_t>(thread))++) +
                        " end");
  }
  REQUIRE(next == std::vector<int>(kThreads, kRecords));
}

TEST_CASE("log: the names of older files keep the extension") {
  REQUIRE(log_file_name("/x/g.log", 0) == "/x/g.log");
  REQUIRE(log_file_name("/x/g.log", 12) == "/x/g.12.log");
  REQUIRE(log_file_name("/x/log", 1) == "/x/log.1");
}
