// SPDX-License-Identifier: Apache-2.0
//
// answers.hpp: the results of language servers in one shape each, whichever of the protocol's forms the server has
// chosen, and pages of them that fit into an agent's budget.
//
// A result that is malformed counts as far as it can be understood.
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <gantry/json.hpp>
#include <gantry/result.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::lsp {

/// A range in a file. `path`: absolute; the URI itself where that names no file of this machine.
struct Location {
  std::string path;
  json range;  ///< of the protocol
};
/// True: the position is in the range, or at its end. False also where one of them is malformed.
[[nodiscard]] bool contains(const json& range, const json& position);
/// Of null, a Location, an array of them, or of LocationLinks.
[[nodiscard]] std::vector<Location> locations_of(const json& result);

struct Symbol {
  std::string name;
  std::string kind;                    ///< in words: "class", "function"
  std::vector<std::string> container;  ///< the names of the symbols around it, the outermost first
  Location location;                   ///< of its name, where the server says that
  json whole;                          ///< the range with its body; null: unknown
};
/// Of DocumentSymbols, in the order of the text, each before those inside of it; or of SymbolInformations. `path`: of
/// the document that was asked for; empty: each names its own.
[[nodiscard]] std::vector<Symbol> symbols_of(const json& result, const std::string& path);
/// True: `symbol` is named so: "receive", "Session::receive", "session.receive".
[[nodiscard]] bool is_named(const Symbol& symbol, std::string_view name);

/// The text of a hover; empty: there is none.
[[nodiscard]] std::string hover_text(const json& result);

/// The items of a completion, sorted as the server wants them shown: {label, kind?, detail?, insert?}.
struct Completions {
  std::vector<json> items;
  bool incomplete = false;
};
[[nodiscard]] Completions completions_of(const json& result);

/// "error", "warning", "information", "hint"; empty: none is named.
[[nodiscard]] std::string_view severity_of(const json& diagnostic);

/// What an agent has room for. A token is taken for four bytes of JSON.
struct Budget {
  static constexpr std::int64_t kDefaultTokens = 2'000;
  static constexpr std::int64_t kLeastTokens = 100;
  static constexpr std::int64_t kMostTokens = 100'000;

  std::int64_t tokens = kDefaultTokens;
  std::optional<std::string> cursor;  ///< from the page before
};
/// A part of a whole that has `count` items.
struct Page {
  std::vector<json> items;
  std::size_t total = 0;
  std::string next_cursor;  ///< empty: this is the last
};
/// `show(i)` makes item i, and is called for the items of the page alone. At least one item is in a page, however
/// large. `identity`: changes when the whole has changed. `conflict`: it has, since the cursor was given;
/// `invalid_params`: it is no cursor.
template <class Show>
[[nodiscard]] Result<Page> page_of(std::size_t count, std::size_t identity, const Budget& budget, Show show);

namespace detail {
/// Where the page begins.
[[nodiscard]] Result<std::size_t> begin_of_page(const Budget& budget, std::size_t identity, std::size_t count);
[[nodiscard]] std::string cursor_of(std::size_t begin, std::size_t identity);
}  // namespace detail

template <class Show>
Result<Page> page_of(std::size_t count, std::size_t identity, const Budget& budget, Show show) {
  constexpr std::size_t kBytesOfToken = 4;
  const auto begin = detail::begin_of_page(budget, identity, count);
  if (!begin) return std::unexpected(begin.error());
  Page out{.items = {}, .total = count, .next_cursor = {}};
  std::size_t bytes = 0;
  for (std::size_t i = *begin; i < count; ++i) {
    json item = show(i);
    bytes += dump_json(item).size() + 1;
    if (!out.items.empty() && bytes > static_cast<std::size_t>(budget.tokens) * kBytesOfToken) {
      out.next_cursor = detail::cursor_of(i, identity);
      break;
    }
    out.items.push_back(std::move(item));
  }
  return out;
}

}  // namespace gantry::lsp
