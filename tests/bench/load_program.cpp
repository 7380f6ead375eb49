// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/load_program.hpp"

#include <stdexcept>

namespace bench {

namespace {

[[nodiscard]] std::vector<std::string> with_figures(std::vector<std::string> words, EchoLoad load) {
  words.insert(words.begin() + 2, {std::to_string(load.connections), std::to_string(load.depth)});
  return words;
}

}  // namespace

LoadProgram::LoadProgram(const std::vector<std::string>& words, EchoLoad load)
    : child_(with_figures(words, load), {}, true) {
  if (const auto line = next_line(); line != "ready\n") throw std::runtime_error(words[0] + ": " + line);
}

std::string LoadProgram::next_line() const {
  auto line = read_line(child_.out());
  if (line.empty()) throw std::runtime_error("the client has ended");
  return line;
}

EchoCounts LoadProgram::run(double seconds) {
  const double cpu_before = child_.clock_seconds();
  write_all(child_.in(), std::to_string(seconds) + "\n");
  const auto line = next_line();
  const auto said = json::parse(line, nullptr, false);
  if (!said.is_object()) throw std::runtime_error(line);
  return {said.at("calls").get<double>(), said.at("seconds").get<double>(), child_.clock_seconds() - cpu_before,
          said.at("p50_ns").get<double>(), said.at("p99_ns").get<double>()};
}

}  // namespace bench
