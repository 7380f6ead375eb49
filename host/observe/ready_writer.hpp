// SPDX-License-Identifier: Apache-2.0
//
// host/observe/ready_writer.hpp: writes lines to a terminal or a pipe whose reader may stand still
// (Ctrl-S, a pager).
//
// Thread rule: one thread at a time.
// Never: a wait for the reader. A line that the descriptor does not take at once is dropped; if a
// part was written, the line is ended before the next one. O_NONBLOCK cannot serve for that: it
// would hold for every process that shares the terminal.
#pragma once

#include <string_view>

namespace gantry::host {

class ReadyWriter {
 public:
  /// `fd` is borrowed.
  explicit ReadyWriter(int fd) : fd_(fd) {}
  /// False: the line, or its rest, was dropped.
  [[nodiscard]] bool write(std::string_view line);

 private:
  [[nodiscard]] bool put(std::string_view text);

  int fd_;
  bool torn_ = false;  // half a line was written
};

}  // namespace gantry::host
