// SPDX-License-Identifier: Apache-2.0
//
// stderr: a terminal, a file or a pipe whose reader may stand still or be gone.
#include <termios.h>
#include <csignal>
#include <cstdlib>
#include <tests/unit/observe/log_support.hpp>

using namespace gantry;
using namespace gantry::host;
using namespace log_test;

namespace {

LogOptions to(int fd) {
  auto out = options({});
  out.to_stderr = true;
  out.stderr_fd = fd;
  return out;
}

}  // namespace

TEST_CASE("log: stderr gets the same lines as the file, without colours when it is no terminal") {
  const Folder folder;
  const Pipe pipe;
  auto options = to(pipe.writer());
  options.file = folder.path / "g.log";
  opened(std::move(options))->write(Level::warn, "a", "x");
  REQUIRE(pipe.taken() == "2026-01-31T12:00:00.123Z WARN  a: x\n");
  REQUIRE(text_of(folder.path / "g.log") == "2026-01-31T12:00:00.123Z WARN  a: x\n");
}

TEST_CASE("log: nothing goes to stderr when it is off") {
  const Pipe pipe;
  auto options = to(pipe.writer());
  options.to_stderr = false;
  opened(std::move(options))->write(Level::error, "a", "x");
  REQUIRE(pipe.taken().empty());
}

TEST_CASE("log: the level has a colour on a terminal, unless none are wanted") {
  for (const bool colours : {true, false}) {
    CAPTURE(colours);
    const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    REQUIRE(terminal >= 0);
    REQUIRE(::grantpt(terminal) == 0);
    REQUIRE(::unlockpt(terminal) == 0);
    const int fd = ::open(::ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    auto options = to(fd);
    options.colours = colours;
    opened(std::move(options))->write(Level::error, "a", "x");
    char buffer[256];
    const ssize_t got = ::read(terminal, buffer, sizeof buffer);
    ::close(fd);
    ::close(terminal);
    REQUIRE(got > 0);
    REQUIRE(std::string(buffer, static_cast<std::size_t>(got)) ==
            (colours ? "2026-01-31T12:00:00.123Z \x1b[31mERROR\x1b[0m a: x\r\n"
                     : "2026-01-31T12:00:00.123Z ERROR a: x\r\n"));
  }
}

TEST_CASE("log: NO_COLOR and a terminal that is dumb want no colours") {
  REQUIRE(colours_are_wanted(nullptr, "xterm"));
  REQUIRE(colours_are_wanted("", nullptr));
  REQUIRE_FALSE(colours_are_wanted("1", "xterm"));
  REQUIRE_FALSE(colours_are_wanted(nullptr, "dumb"));
}

TEST_CASE("log: a reader of stderr that stands still loses records, but does not stop the host") {
  const Folder folder;
  const Pipe pipe;
  auto options = to(pipe.writer());
  options.file = folder.path / "g.log";
  const auto log = opened(std::move(options));
  const std::string text(6000, 'x');
  constexpr int kRecords = 100;  // more than a pipe holds
  for (int i = 0; i < kRecords; ++i) log->write(Level::info, "a", text);
  const auto lost = log->dropped();
  REQUIRE(lost > 0);
  REQUIRE(lost < kRecords);
  const std::string file = text_of(folder.path / "g.log");
  REQUIRE(std::count(file.begin(), file.end(), '\n') == kRecords);
  // Once there is room, a new record begins on a line of its own.
  const std::string taken = pipe.taken();
  REQUIRE(static_cast<std::uint64_t>(std::count(taken.begin(), taken.end(), '\n')) == kRecords - lost);
  log->write(Level::info, "a", "again");
  const std::string next = pipe.taken();
  REQUIRE(log->dropped() == lost);
  REQUIRE(next == std::string(taken.back() == '\n' ? "" : "\n") + "2026-01-31T12:00:00.123Z INFO  a: again\n");
}

TEST_CASE("log: a reader of stderr that is gone is counted, and the file goes on") {
  std::signal(SIGPIPE, SIG_IGN);
  const Folder folder;
  Pipe pipe;
  auto options = to(pipe.writer());
  options.file = folder.path / "g.log";
  const auto log = opened(std::move(options));
  pipe.close_reader();
  log->write(Level::error, "a", "x");
  REQUIRE(log->dropped() == 1);
  REQUIRE(text_of(folder.path / "g.log") == "2026-01-31T12:00:00.123Z ERROR a: x\n");
}

TEST_CASE("log: a descriptor that is closed is counted") {
  const auto log = opened(to(-1));
  log->write(Level::error, "a", "x");
  REQUIRE(log->dropped() == 1);
}
