// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdio>

#include "tests/bench/report.hpp"

namespace bench {

namespace {

constexpr double kLeft = 330;
constexpr double kWidth = 560;
constexpr double kRight = 170;
constexpr double kBar = 16;
constexpr double kTop = 60;
constexpr double kLeast = 0.1;
constexpr double kMost = 100;

/// Where a ratio is on the axis.
[[nodiscard]] double x_of(double ratio) {
  const double within = std::min(kMost, std::max(kLeast, ratio));
  return kLeft + kWidth * std::log10(within / kLeast) / std::log10(kMost / kLeast);
}

[[nodiscard]] std::string escaped(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    if (c == '<') {
      safe += "&lt;";
    } else if (c == '&') {
      safe += "&amp;";
    } else {
      safe += c;
    }
  }
  return safe;
}

[[nodiscard]] std::string digits(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.4g", value);
  return text.data();
}

[[nodiscard]] std::string label(double x, double y, const char* anchor, const std::string& words,
                                const char* more = "") {
  return "<text x=\"" + digits(x) + "\" y=\"" + digits(y) + "\" text-anchor=\"" + anchor + "\" " + more + ">" +
         escaped(words) + "</text>\n";
}

[[nodiscard]] std::string line(double x, double from, double to, const char* style) {
  return "<line x1=\"" + digits(x) + "\" x2=\"" + digits(x) + "\" y1=\"" + digits(from) + "\" y2=\"" + digits(to) +
         "\" " + style + "/>\n";
}

[[nodiscard]] std::string bar(double y, const std::string& workload, const Outcome& outcome) {
  const double from = std::min(x_of(1), x_of(outcome.ratio));
  const double width = std::max(1.0, std::abs(x_of(outcome.ratio) - x_of(1)));
  const char* colour = outcome.met() ? "#3a7d44" : "#c0392b";
  return label(kLeft - 8, y + kBar * 0.8, "end", workload + " / " + outcome.peer) + "<rect x=\"" + digits(from) +
         "\" y=\"" + digits(y + 2) + "\" width=\"" + digits(width) + "\" height=\"" + digits(kBar - 4) + "\" fill=\"" +
         colour + "\"/>\n" + line(x_of(outcome.ratio_goal), y, y + kBar, "stroke=\"#1f3a93\" stroke-width=\"2.5\"") +
         label(kLeft + kWidth + 8, y + kBar * 0.8, "start",
               digits(std::round(outcome.ratio * 100) / 100) + "x (goal " +
                   digits(std::round(outcome.ratio_goal * 100) / 100) + "x)");
}

}  // namespace

std::string plot(const Report& report) {
  std::string bars;
  double y = kTop;
  for (const auto& group : report.groups) {
    for (const auto& outcome : group.outcomes) {
      bars += bar(y, group.workload.name, outcome);
      y += kBar;
    }
  }
  if (bars.empty()) {
    bars = label(kLeft, y + kBar, "start", "no row of Gantry beside a peer");
    y += kBar * 2;
  }
  std::string text =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + digits(kLeft + kWidth + kRight) + "\" height=\"" +
      digits(y + 30) + "\" font-family=\"sans-serif\" font-size=\"11\">\n" +
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n" +
      label(8, 20, "start", "Gantry's speed as a multiple of the peer's; blue: the goal", "font-size=\"14\"") +
      label(8, 36, "start", report.machine, "fill=\"#666666\" font-size=\"9\"");
  for (const double tick : {0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0}) {
    text += line(x_of(tick), kTop - 4, y, tick == 1.0 ? "stroke=\"#444444\"" : "stroke=\"#dddddd\"");
    text += label(x_of(tick), kTop - 8, "middle", digits(tick) + "x");
  }
  return text + bars + "</svg>\n";
}

}  // namespace bench
