// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/plan.hpp"

#include <nettle/sha2.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <set>
#include <vector>

#include "plugins/project_state/fields.hpp"
#include "plugins/project_state/merge.hpp"

namespace gantry::state {

namespace {

constexpr std::int64_t kMaxSafe = (std::int64_t{1} << 53) - 1;

/// Sees each value of the params as it was written.
class PlanCheck final : public nlohmann::json_sax<json> {
 public:
  /// `depth`: in how many objects and arrays the members `plan` are.
  explicit PlanCheck(std::size_t depth) : depth_(depth) {}
  [[nodiscard]] const std::string& wrong() const { return wrong_; }

  bool null() override { return leave_value(); }
  bool boolean(bool /*value*/) override { return leave_value(); }
  bool number_integer(number_integer_t value) override {
    return number(value >= -kMaxSafe, std::to_string(value)) && leave_value();
  }
  bool number_unsigned(number_unsigned_t value) override {
    return number(value <= static_cast<std::uint64_t>(kMaxSafe), std::to_string(value)) && leave_value();
  }
  bool number_float(number_float_t /*value*/, const string_t& text) override {
    return number(text.find_first_of(".eE") != std::string::npos, text) && leave_value();
  }
  bool string(string_t& /*value*/) override { return leave_value(); }
  bool binary(binary_t& /*value*/) override { return true; }
  bool start_object(std::size_t /*size*/) override {
    names_.emplace_back();
    return enter();
  }
  bool key(string_t& name) override {
    if (in_plan_ == 0) {
      next_is_plan_ = names_.size() == depth_ && name == "plan";
    } else if (!names_.back().insert(name).second) {
      return fails("the plan has the name \"" + name.substr(0, 64) + "\" twice in one object");
    }
    return true;
  }
  bool end_object() override {
    names_.pop_back();
    return leave();
  }
  bool start_array(std::size_t /*size*/) override {
    names_.emplace_back();
    return enter();
  }
  bool end_array() override {
    names_.pop_back();
    return leave();
  }
  bool parse_error(std::size_t /*place*/, const std::string& /*token*/, const json::exception& /*what*/) override {
    return false;  // the host has parsed it before
  }

 private:
  bool fails(std::string what) {
    wrong_ = std::move(what);
    return false;
  }
  bool number(bool fits, const std::string& text) {
    if (fits || (in_plan_ == 0 && !next_is_plan_)) return true;
    return fails("the plan has the number " + text.substr(0, 40) +
                 ": integers beyond 2^53 - 1 are not the same everywhere");
  }
  bool enter() {
    if (in_plan_ != 0 || std::exchange(next_is_plan_, false)) ++in_plan_;
    return true;
  }
  bool leave() {
    if (in_plan_ != 0) --in_plan_;
    return true;
  }
  bool leave_value() {
    next_is_plan_ = false;
    return true;
  }

  const std::size_t depth_;
  std::vector<std::set<std::string>> names_;  ///< of the objects and arrays that are open
  std::size_t in_plan_ = 0;                   ///< how many of these are the plan and what it holds
  bool next_is_plan_ = false;
  std::string wrong_;
};

/// The order of UTF-16 code units: characters beyond U+FFFF, whose UTF-8 begins with 0xf0 or more, lie before those
/// from U+E000 on, whose UTF-8 begins with 0xee or 0xef.
[[nodiscard]] bool before_in_utf16(std::string_view a, std::string_view b) {
  const auto [x, y] = std::ranges::mismatch(a, b);
  if (x == a.end() || y == b.end()) return x == a.end() && y != b.end();
  const auto m = static_cast<unsigned char>(*x);
  const auto n = static_cast<unsigned char>(*y);
  if (m >= 0xee && n >= 0xee && (m >= 0xf0) != (n >= 0xf0)) return m >= 0xf0;
  return m < n;
}

/// As ECMAScript's Number.prototype.toString prints it.
void add_double(std::string& out, double value) {
  if (value == 0) {
    out += '0';
    return;
  }
  if (value < 0) out += '-';
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.begin(), text.end(), std::abs(value), std::chars_format::scientific).ptr;
  const std::string_view shortest(text.begin(), end);
  const auto e = shortest.find('e');
  std::string digits(shortest.substr(0, e));
  std::erase(digits, '.');
  int exponent = 0;
  const auto power = shortest.substr(e + (shortest[e + 1] == '+' ? 2 : 1));
  std::from_chars(power.data(), power.data() + power.size(), exponent);
  const int point = exponent + 1;  // the value is 0.DIGITS * 10^point
  const int count = static_cast<int>(digits.size());
  if (count <= point && point <= 21) {
    out += digits + std::string(static_cast<std::size_t>(point - count), '0');
  } else if (0 < point && point <= 21) {
    out += digits.substr(0, static_cast<std::size_t>(point)) + "." + digits.substr(static_cast<std::size_t>(point));
  } else if (-6 < point && point <= 0) {
    out += "0." + std::string(static_cast<std::size_t>(-point), '0') + digits;
  } else {
    out += digits.substr(0, 1) + (count > 1 ? "." + digits.substr(1) : "") + (exponent < 0 ? "e-" : "e+") +
           std::to_string(std::abs(exponent));
  }
}

void add_canonical(std::string& out, const json& value) {
  if (value.is_object()) {
    std::vector<const std::string*> names;
    for (const auto& [name, unused] : value.items()) names.push_back(&name);
    std::ranges::sort(names, [](const auto* a, const auto* b) { return before_in_utf16(*a, *b); });
    char mark = '{';
    for (const auto* name : names) {
      out += std::exchange(mark, ',');
      out += dump_json(*name) + ":";
      add_canonical(out, value[*name]);
    }
    out += mark == '{' ? "{}" : "}";
  } else if (value.is_array()) {
    char mark = '[';
    for (const auto& entry : value) {
      out += std::exchange(mark, ',');
      add_canonical(out, entry);
    }
    out += mark == '[' ? "[]" : "]";
  } else if (value.is_number_float()) {
    add_double(out, value.get<double>());
  } else {
    out += dump_json(value);
  }
}

}  // namespace

Result<void> check_plans_in(std::string_view text, std::size_t level) {
  if (text.find("\"plan\"") == std::string_view::npos && text.find('\\') == std::string_view::npos) return {};
  PlanCheck check(level);
  (void)json::sax_parse(text, &check);
  return check.wrong().empty() ? Result<void>() : refuse(check.wrong());
}

Result<void> check_plan(const json& plan) {
  if (plan.is_null()) return refuse("plan must be a value, not null");
  if (deeper_than(plan, kMaxDepth)) return too_large("a plan may be nested 64 levels deep");
  const auto size = canonical_json(plan).size();
  return size <= kMaxPlan ? Result<void>()
                          : too_large("a plan may have 1 MiB of JSON, not " + std::to_string(size) + " bytes");
}

std::string canonical_json(const json& value) {
  std::string out;
  add_canonical(out, value);
  return out;
}

std::string sha256(std::string_view bytes) {
  sha256_ctx context{};
  std::array<std::uint8_t, SHA256_DIGEST_SIZE> digest{};
  sha256_init(&context);
  sha256_update(&context, bytes.size(), reinterpret_cast<const std::uint8_t*>(bytes.data()));  // NOLINT: bytes
  sha256_digest(&context, digest.size(), digest.data());
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (const auto byte : digest) {
    out += kHex[byte >> 4U];
    out += kHex[byte & 15U];
  }
  return out;
}

}  // namespace gantry::state
