// SPDX-License-Identifier: Apache-2.0
#include "host/runtime/json_text.hpp"

#include <simdjson.h>

#include <cstdint>
#include <gantry/json.hpp>
#include <memory>

namespace gantry::host {

namespace {
/// simdjson reads so far behind a text: nothing can be wrong with that in the page of the text's last byte.
[[nodiscard]] bool padding_is_readable(std::string_view text) {
  constexpr std::uintptr_t kSmallestPage = 4096;
  const std::uintptr_t last = reinterpret_cast<std::uintptr_t>(text.data()) + text.size() - 1;
  return last % kSmallestPage + simdjson::SIMDJSON_PADDING < kSmallestPage;
}
}  // namespace

Result<void> check_json(std::string_view text, std::size_t max_depth) {
  // A parser keeps the memory that its largest document needed; a rare large one gets a parser of its own.
  constexpr std::size_t kKeptBytes = 256 * 1024;
  thread_local std::unique_ptr<simdjson::dom::parser> kept;
  thread_local std::size_t kept_depth = 0;
  std::unique_ptr<simdjson::dom::parser> temporary;
  simdjson::dom::parser* parser = nullptr;
  if (text.size() > kKeptBytes) {
    temporary = std::make_unique<simdjson::dom::parser>();
    if (temporary->allocate(text.size(), max_depth)) return fail(ErrorKind::internal, "out of memory");
    parser = temporary.get();
  } else {
    if (!kept || kept_depth != max_depth) {
      kept = std::make_unique<simdjson::dom::parser>(kKeptBytes);
      kept_depth = max_depth;
      if (kept->allocate(4096, max_depth)) return fail(ErrorKind::internal, "out of memory");
    }
    if (kept->capacity() < text.size() && kept->allocate(std::min(kKeptBytes, text.size() * 2), max_depth))
      return fail(ErrorKind::internal, "out of memory");
    parser = kept.get();
  }
  const auto error =
      text.empty() ? simdjson::EMPTY : parser->parse(text.data(), text.size(), !padding_is_readable(text)).error();
  if (error == simdjson::SUCCESS) return {};
  if (error == simdjson::DEPTH_ERROR)
    return fail(ErrorKind::invalid_request, "nested deeper than " + std::to_string(max_depth) + " levels");
  return fail(ErrorKind::parse_error, std::string("malformed JSON: ") + simdjson::error_message(error));
}

std::string minify_json(std::string_view text) {
  std::string out(text.size() + simdjson::SIMDJSON_PADDING, '\0');
  std::size_t size = 0;
  if (simdjson::minify(text.data(), text.size(), out.data(), size)) return std::string(text);
  out.resize(size);
  return out;
}

bool is_utf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

std::string quote_json(std::string_view text) { return dump_json(json(text)); }

}  // namespace gantry::host
