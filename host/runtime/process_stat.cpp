// SPDX-License-Identifier: Apache-2.0
#include "host/runtime/process_stat.hpp"

#include <fstream>
#include <locale>
#include <sstream>
#include <utility>

namespace gantry::host {

std::optional<ProcessStat> process_stat(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(in, text);
  const auto name = text.find('(');
  const auto name_ends = text.rfind(") ");
  if (name == std::string::npos || name_ends == std::string::npos) return std::nullopt;
  ProcessStat out{.name = text.substr(name + 1, name_ends - name - 1)};
  std::istringstream rest(text.substr(name_ends + 2));
  rest.imbue(std::locale::classic());
  rest >> out.state;
  constexpr int kBetween = 18;  // ppid to itrealvalue
  std::string skipped;
  for (int i = 0; i < kBetween; ++i) rest >> skipped;
  if (!(rest >> out.born)) return std::nullopt;
  return out;
}

}  // namespace gantry::host
