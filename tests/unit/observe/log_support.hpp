// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <host/observe/log.hpp>
#include <sstream>
#include <string>

namespace log_test {

namespace fs = std::filesystem;

struct Folder {
  fs::path path;
  Folder() {
    std::string name = (fs::temp_directory_path() / "gantry-log-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
};

inline std::string text_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

/// Options of a log that writes only to `file`, at 2026-01-31T12:00:00.123Z.
inline gantry::host::LogOptions options(const fs::path& file) {
  gantry::host::LogOptions out;
  out.file = file;
  out.to_stderr = false;
  out.clock = [] { return std::chrono::system_clock::time_point(std::chrono::milliseconds(1769860800123)); };
  return out;
}

inline std::shared_ptr<gantry::host::Log> opened(gantry::host::LogOptions options) {
  auto log = gantry::host::Log::open(std::move(options));
  INFO((log ? "" : log.error().message));
  REQUIRE(log);
  return *log;
}

/// A pipe instead of stderr.
struct Pipe {
  int ends[2] = {-1, -1};
  Pipe() { REQUIRE(::pipe2(ends, O_CLOEXEC) == 0); }
  ~Pipe() {
    close_reader();
    ::close(ends[1]);
  }
  [[nodiscard]] int writer() const { return ends[1]; }
  void close_reader() {
    if (ends[0] >= 0) ::close(ends[0]);
    ends[0] = -1;
  }
  /// The bytes that are in the pipe now.
  [[nodiscard]] std::string taken() const {
    std::string out;
    char buffer[4096];
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
    for (ssize_t got = 0; (got = ::read(ends[0], buffer, sizeof buffer)) > 0;)
      out.append(buffer, static_cast<std::size_t>(got));
    return out;
  }
};

}  // namespace log_test
