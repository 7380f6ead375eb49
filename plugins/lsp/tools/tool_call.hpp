// SPDX-License-Identifier: Apache-2.0
//
// tool_call.hpp: one question of an agent or a script, in its own terms: a path, a symbol's name or a line, and an
// answer that fits into its budget. It becomes the requests that a language server understands, one after the other
// (query.hpp), on the file as it is on the disk.
//
// Of several servers of a language all are asked at once for what can be put together (references, completions,
// diagnostics, code actions); else one after the other, until one has something to say. A server that fails, or does
// not know the request, does not take the others along.
//
// Lines and columns count from 1, columns in characters. A relative path begins at the client's workspace; a path in an
// answer is relative where it lies in the workspace.
//
// What depends on the server's index (references, implementations, symbols of the workspace, calls) waits until the
// server reports no progress, for three quarters of the caller's time at most; then the answer says `indexing: true`,
// and is what the server knows by then.
//
// Questions whose answer is an edit are of a class of their own (edits/edit_call.hpp), which begins with the same
// steps.
//
// Thread rule: begin() in the handler; the steps run on the worker, one at a time. The call is answered once.
// Bounds: those of the queries; kMaxEntries files of a workspace are looked at to find one that a server knows.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <gantry/mutex.hpp>
#include <gantry/plugin/call.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/lsp/query_all.hpp"
#include "plugins/lsp/query_in_turn.hpp"
#include "plugins/lsp/tools/answers.hpp"
#include "plugins/lsp/tools/lines.hpp"

namespace gantry::lsp {

enum class Tool {
  definition,
  implementation,
  references,
  hover,
  document_symbols,
  workspace_symbols,
  call_hierarchy,
  completion,
  diagnostics,
  diagnostics_resource,  ///< the same, as an MCP resource
  // Those of edits (edits/edit_call.hpp).
  rename,
  code_actions,
  format,
  check_edit,
  apply
};

struct ToolArgs {
  std::string workspace;                ///< of the client
  std::string path;                     ///< absolute; empty: none
  std::string uri;                      ///< of a resource
  std::optional<std::string> language;  ///< of `path`
  std::string symbol;                   ///< a name, also a qualified one; empty: none
  std::int64_t line = 0;                ///< 0: none
  std::int64_t column = 0;              ///< 0: none
  std::string query;                    ///< for workspace_symbols
  bool outgoing = false;                ///< for call_hierarchy: the calls that a function makes
  Duration wait{0};                     ///< in all
  Budget budget{};
};

class ToolCall : public std::enable_shared_from_this<ToolCall> {
 public:
  static constexpr std::size_t kMaxEntries = 20'000;

  ToolCall(std::shared_ptr<Context> context, std::shared_ptr<Registry> registry, Tool tool, ToolArgs args, Call call);

  virtual ~ToolCall() = default;

  void begin();

 protected:
  using Then = std::function<void(json result)>;

  /// The results of those that have not failed.
  using ThenAll = std::function<void(std::vector<json> results)>;

  // Steps, on the worker.
  void run();
  /// The question is read, and the server of its path, if it has one, is known.
  virtual void start();
  /// Finds the place that the question points at, and goes on with ask_at().
  void find_place();
  /// `params`: the textDocument and the position.
  virtual void ask_at(const json& params);
  void find_symbol_in_file();
  void find_symbol_in_workspace();
  void found(const std::vector<Symbol>& symbols, const std::string& where);
  void at_line();
  void at(std::string path, json position);
  void show_at(const std::string& method, json params);
  void show_first(const json& params, const json& result);
  void show_definition(const json& params, std::vector<Location> found);
  void tell_definition(const Location& one, const Location& other);
  void call_hierarchy(json item);
  void document_symbols();
  void workspace_symbols(const std::string& query, std::function<void(std::vector<Symbol>)> then);
  void ask_servers(std::shared_ptr<std::vector<Query::Ask>> left, std::string query, std::vector<Symbol> so_far,
                   std::optional<Error> failed, std::function<void(std::vector<Symbol>)> then);
  void diagnostics();

  // Answers.
  void show_locations(std::vector<Location> locations);
  void show_symbols(const std::vector<Symbol>& symbols);
  void show_calls(const json& calls);
  void show_hover(const json& result);
  void show_completions(const json& result);
  void show_diagnostics(const json& result);
  /// Answers with the members of `answer`, and a page of items.
  template <class Show>
  void show_page(std::size_t count, std::size_t identity, json answer, Show show);
  void show(json answer, Page page);
  /// A line of a source, or what is as long, cut between characters.
  [[nodiscard]] static std::string cut(std::string_view text, std::size_t most);
  [[nodiscard]] static std::size_t mixed(std::size_t identity, const std::string& text);
  /// The members of a diagnostic besides its place.
  static void add_problem(json& to, const json& diagnostic);
  /// The members path, line, column and text of a place.
  void add_place(json& to, const Location& location);
  /// The members line, column and text of a place in a text.
  static void add_place_in(json& to, const Lines& lines, const json& range);
  [[nodiscard]] const Lines* lines_of(const std::string& path);
  [[nodiscard]] std::string shown(const std::string& path) const;

  // The server.
  [[nodiscard]] bool needs_index() const;
  [[nodiscard]] Duration left() const;
  void settle(std::vector<Query::Ask> asks, std::function<void()> then);
  void ask(Query::Ask ask, Then then);
  void ask_raw(Query::Ask ask, std::function<void(Result<std::string>)> then);
  /// Asks each server of the file. The call fails when all have failed.
  void ask_each(const std::string& method, json params, ThenAll then);
  /// Asks one server of the file after the other. `then` gets the result that counts, of several without something to
  /// say the first; its server is asked from then on. The call fails when all have failed.
  void ask_first(const std::string& method, json params, Then then, First wanted = First::says_something);
  struct Asking;
  void ask_next(const std::shared_ptr<Asking>& asking);
  void ask_all(std::vector<Query::Ask> asks, std::function<void(QueryAll::Answers)> then);
  /// The diagnostics of the file that `asks` are about, of all these servers.
  void ask_diagnostics(std::vector<Query::Ask> asks, std::function<void(const Result<json>&)> then);
  /// From now on the servers of this file are asked.
  [[nodiscard]] Result<void> go_to(const std::string& path, const std::optional<std::string>& language);
  [[nodiscard]] std::vector<Query::Ask> bases() const;
  void on_worker(std::function<void()> step);
  void cancel();
  void fail_with(const Error& error);
  void finish(const Result<json>& result);

  const std::shared_ptr<Context> context_;
  const std::shared_ptr<Registry> registry_;
  const Tool tool_;
  const ToolArgs args_;
  const TimePoint deadline_;
  Call call_;
  std::atomic<bool> done_{false};

  // The worker's.
  Query::Ask base_;                 ///< path, language and first server of the file that the question is about
  std::vector<Query::Ask> others_;  ///< the same with its other servers
  bool indexing_ = false;           ///< the server still worked when it was asked
  std::string lines_path_;
  std::unique_ptr<Lines> lines_;  ///< of the file that was read last; null: it cannot be read

  Mutex mutex_;
  std::vector<std::weak_ptr<QueryAll>> queries_ GANTRY_GUARDED_BY(mutex_);  ///< those that are on their way
};

template <class Show>
void ToolCall::show_page(std::size_t count, std::size_t identity, json answer, Show show_item) {
  auto page = page_of(count, identity, args_.budget, show_item);
  if (!page) return fail_with(page.error());
  show(std::move(answer), std::move(*page));
}

}  // namespace gantry::lsp
