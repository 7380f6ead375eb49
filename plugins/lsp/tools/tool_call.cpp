// SPDX-License-Identifier: Apache-2.0
//
// The way of a question to its answer: where it points, and what the server is asked.
#include "plugins/lsp/tools/tool_call.hpp"

#include <algorithm>
#include <filesystem>
#include <gantry/file_uri.hpp>
#include <set>
#include <utility>

#include "plugins/lsp/registry.hpp"

namespace gantry::lsp {

namespace {

namespace fs = std::filesystem;

[[nodiscard]] json document(const std::string& path) { return {{"uri", to_uri(path)}}; }

[[nodiscard]] bool is_passed_over(const std::string& folder) {
  return folder.starts_with(".") || folder == "node_modules" || folder == "build" || folder == "target";
}

/// For each server that may be asked in the workspace a file that it knows: many servers know nothing of a project
/// before one of its files is open.
[[nodiscard]] std::vector<Query::Ask> questions_in(const Settings& settings, const std::string& workspace) {
  std::vector<Query::Ask> out;
  const Servers& servers = settings.at(workspace);
  std::error_code wrong;
  std::size_t seen = 0;
  for (fs::recursive_directory_iterator at(workspace, fs::directory_options::skip_permission_denied, wrong), end;
       !wrong && at != end && ++seen <= ToolCall::kMaxEntries && out.size() < servers.servers.size();
       at.increment(wrong)) {
    std::error_code none;
    if (at->is_directory(none)) {
      if (is_passed_over(at->path().filename().string())) at.disable_recursion_pending();
      continue;
    }
    const std::string path = at->path().string();
    if (servers.language_of(path).empty()) continue;
    const auto asks = asks_about(settings, path, std::nullopt);
    for (const auto& ask : asks ? *asks : std::vector<Query::Ask>()) {
      if (std::ranges::none_of(out, [&](const auto& other) { return other.server == ask.server; })) out.push_back(ask);
    }
  }
  return out;
}

[[nodiscard]] Result<json> result_of(const Result<std::string>& answer, const std::string& server) {
  if (!answer) return std::unexpected(answer.error());
  auto result = parse_json(*answer);
  if (!result) return fail(ErrorKind::upstream_failed, server + " sent malformed JSON");
  return result;
}

/// `more`: of another server, which may know what the servers before have named.
void add_unknown(std::vector<Symbol>& to, std::vector<Symbol> more) {
  const auto key = [](const Symbol& symbol) {
    const json start = symbol.location.range.is_object() ? symbol.location.range.value("start", json()) : json();
    return dump_json({symbol.name, symbol.location.path, start.is_object() ? start.value("line", json()) : json()});
  };
  std::set<std::string> known;
  for (const auto& symbol : to) known.insert(key(symbol));
  std::erase_if(more, [&](const Symbol& symbol) { return known.contains(key(symbol)); });
  to.insert(to.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

[[nodiscard]] std::string joined(const Symbol& symbol) {
  std::string out;
  for (const auto& outer : symbol.container) out += outer + "::";
  return out + symbol.name;
}

}  // namespace

ToolCall::ToolCall(std::shared_ptr<Context> context, std::shared_ptr<Registry> registry, Tool tool, ToolArgs args,
                   Call call)
    : context_(std::move(context)),
      registry_(std::move(registry)),
      tool_(tool),
      args_(std::move(args)),
      deadline_(context_->host.now() + args_.wait),
      call_(std::move(call)) {}

void ToolCall::begin() {
  call_.on_cancel([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->cancel();
  });
  on_worker([this] { run(); });
}

void ToolCall::run() {
  if (!args_.path.empty()) {
    if (const auto went = go_to(args_.path, args_.language); !went) return fail_with(went.error());
  }
  start();
}

void ToolCall::start() {
  switch (tool_) {
    case Tool::document_symbols:
      return document_symbols();
    case Tool::diagnostics:
    case Tool::diagnostics_resource:
      return diagnostics();
    case Tool::workspace_symbols:
      return workspace_symbols(args_.query, [this](std::vector<Symbol> symbols) { show_symbols(symbols); });
    default:
      return find_place();
  }
}

void ToolCall::find_place() {
  if (args_.line > 0) return at_line();
  return args_.path.empty() ? find_symbol_in_workspace() : find_symbol_in_file();
}

// ---- where it points ------------------------------------------------------------------------------------------------

void ToolCall::at_line() {
  const Lines* const lines = lines_of(base_.path);
  if (lines == nullptr) return fail_with(Error{ErrorKind::not_found, "cannot read " + base_.path, {}});
  if (static_cast<std::size_t>(args_.line) > lines->count()) {
    return fail_with(Error{
        ErrorKind::invalid_params,
        base_.path + " has " + std::to_string(lines->count()) + " lines, and no line " + std::to_string(args_.line),
        {}});
  }
  std::int64_t column = args_.column;
  if (column == 0) {
    const auto found = lines->find_word(args_.line, args_.symbol);
    if (!found) {
      return fail_with(Error{ErrorKind::not_found,
                             "\"" + args_.symbol + "\" does not stand in line " + std::to_string(args_.line) + " of " +
                                 shown(base_.path) +
                                 ", which is: " + std::string(lines->line(args_.line).substr(0, 200)),
                             {}});
    }
    column = *found;
  }
  at(base_.path, lines->to_protocol({args_.line, column}));
}

void ToolCall::find_symbol_in_file() {
  ask_first("textDocument/documentSymbol", {{"textDocument", document(base_.path)}}, [this](const json& result) {
    auto symbols = symbols_of(result, base_.path);
    std::vector<std::string> names;
    for (const auto& symbol : symbols) names.push_back(symbol.name);
    std::erase_if(symbols, [this](const Symbol& symbol) { return !is_named(symbol, args_.symbol); });
    found(symbols, shown(base_.path) + did_you_mean(args_.symbol, names));
  });
}

void ToolCall::find_symbol_in_workspace() {
  workspace_symbols(args_.symbol, [this](std::vector<Symbol> symbols) {
    std::vector<std::string> names;
    for (const auto& symbol : symbols) names.push_back(symbol.name);
    std::erase_if(symbols, [this](const Symbol& symbol) { return !is_named(symbol, args_.symbol); });
    found(symbols, args_.workspace + did_you_mean(args_.symbol, names));
  });
}

void ToolCall::found(const std::vector<Symbol>& symbols, const std::string& where) {
  if (symbols.empty()) {
    return fail_with(Error{ErrorKind::not_found,
                           "no symbol \"" + args_.symbol + "\" is known in " + where +
                               (indexing_ ? "; the server is still indexing, ask again later" : ""),
                           {}});
  }
  if (symbols.size() == 1) {
    const Location& place = symbols.front().location;
    // All its servers, whichever has named the symbol.
    const auto went = go_to(place.path, place.path == args_.path ? args_.language : std::nullopt);
    if (!went) return fail_with(went.error());
    return at(place.path, place.range.is_object() ? place.range.value("start", json()) : json());
  }
  constexpr std::size_t kShown = 10;
  std::string list;
  for (std::size_t i = 0; i < std::min(symbols.size(), kShown); ++i) {
    json place;
    add_place(place, symbols[i].location);
    list += (i == 0 ? "" : ", ") + symbols[i].kind + " " + joined(symbols[i]) + " in " + place.value("path", "") + ":" +
            std::to_string(place.value("line", 0));
  }
  fail_with(Error{ErrorKind::invalid_params,
                  std::to_string(symbols.size()) + " symbols are named \"" + args_.symbol + "\": " + list +
                      (symbols.size() > kShown ? ", ..." : "") + "; name one by its path and line",
                  {}});
}

// ---- what the server is asked ---------------------------------------------------------------------------------------

bool ToolCall::needs_index() const {
  return tool_ == Tool::references || tool_ == Tool::implementation || tool_ == Tool::workspace_symbols ||
         tool_ == Tool::call_hierarchy || tool_ == Tool::rename;
}

void ToolCall::at(std::string path, json position) {
  if (!position.is_object()) {
    return fail_with(Error{ErrorKind::upstream_failed, base_.server.name + " does not say where the symbol is", {}});
  }
  json params{{"textDocument", document(path)}, {"position", std::move(position)}};
  if (!needs_index()) return ask_at(params);
  settle(bases(), [this, params = std::move(params)] { ask_at(params); });
}

void ToolCall::ask_at(const json& params) {
  switch (tool_) {
    case Tool::definition:
      return show_at("textDocument/definition", params);
    case Tool::implementation:
      return show_at("textDocument/implementation", params);
    case Tool::references: {
      json with = params;
      with["context"] = {{"includeDeclaration", true}};
      return show_at("textDocument/references", std::move(with));
    }
    case Tool::hover:
      return show_at("textDocument/hover", params);
    case Tool::completion:
      return show_at("textDocument/completion", params);
    default:
      return show_at("textDocument/prepareCallHierarchy", params);
  }
}

void ToolCall::show_at(const std::string& method, json params) {
  if (tool_ == Tool::references) {
    return ask_each(method, std::move(params), [this](const std::vector<json>& results) {
      std::vector<Location> all;
      std::set<std::string> known;
      for (const auto& result : results) {
        for (auto& one : locations_of(result)) {
          if (results.size() == 1 || known.insert(one.path + dump_json(one.range)).second)
            all.push_back(std::move(one));
        }
      }
      show_locations(std::move(all));
    });
  }
  if (tool_ == Tool::completion) {
    return ask_each(method, std::move(params), [this](const std::vector<json>& results) {
      if (results.size() == 1) return show_completions(results.front());
      json items = json::array();
      bool incomplete = false;
      for (const auto& result : results) {
        const json list = result.is_object() ? result.value("items", json()) : result;
        if (list.is_array()) items.insert(items.end(), list.begin(), list.end());
        incomplete = incomplete || (result.is_object() && result.value("isIncomplete", json()) == true);
      }
      show_completions({{"isIncomplete", incomplete}, {"items", std::move(items)}});
    });
  }
  ask_first(method, params, [this, params](const json& result) { show_first(params, result); });
}

void ToolCall::show_first(const json& params, const json& result) {
  switch (tool_) {
    case Tool::definition:
      return show_definition(params, locations_of(result));
    case Tool::hover:
      return show_hover(result);
    case Tool::call_hierarchy:
      if (!result.is_array() || result.empty())
        return fail_with(Error{ErrorKind::not_found, "no function is there whose calls could be shown", {}});
      return call_hierarchy(result.front());
    default:
      return show_locations(locations_of(result));
  }
}

// Asked at a definition, clangd answers with the declaration, and the other way round. So if it leads from what it has
// found back to the place that was asked about, that place is one of the two.
void ToolCall::show_definition(const json& params, std::vector<Location> found) {
  if (!is_clangd(base_.server) || found.size() != 1) return show_locations(std::move(found));
  auto question = ask_about(*registry_->settings(), found.front().path, std::nullopt);
  if (!question) return show_locations(std::move(found));
  question->method = "textDocument/definition";
  question->params = {{"textDocument", document(found.front().path)},
                      {"position", found.front().range.value("start", json())}};
  ask(std::move(*question), [this, params, found = std::move(found)](const json& result) mutable {
    const auto back = locations_of(result);
    const bool returns = back.size() == 1 && back.front().path == base_.path &&
                         contains(back.front().range, params.value("position", json()));
    if (!returns) return show_locations(std::move(found));
    tell_definition(found.front(), back.front());
  });
}

// Its index knows symbols by their definition.
void ToolCall::tell_definition(const Location& one, const Location& other) {
  const Lines* const lines = lines_of(one.path);
  const auto begin = lines == nullptr ? std::nullopt : lines->from_protocol(one.range.value("start", json()));
  const auto end = lines == nullptr ? std::nullopt : lines->from_protocol(one.range.value("end", json()));
  if (!begin || !end) return show_locations({one});
  Query::Ask question = base_;
  question.method = "workspace/symbol";
  question.params = {{"query", lines->between(*begin, *end)}};
  ask(std::move(question), [this, one, other](const json& result) {
    const auto known = symbols_of(result, {});
    const auto is_known = [&](const Location& place) {
      return std::ranges::any_of(known, [&](const Symbol& symbol) {
        return symbol.location.path == place.path &&
               contains(symbol.location.range, place.range.value("start", json()));
      });
    };
    show_locations({is_known(other) && !is_known(one) ? other : one});
  });
}

void ToolCall::call_hierarchy(json item) {
  Query::Ask question = base_;
  question.method = args_.outgoing ? "callHierarchy/outgoingCalls" : "callHierarchy/incomingCalls";
  question.params = {{"item", std::move(item)}};
  ask(std::move(question), [this](const json& result) { show_calls(result); });
}

void ToolCall::document_symbols() {
  ask_first("textDocument/documentSymbol", {{"textDocument", document(base_.path)}},
            [this](const json& result) { show_symbols(symbols_of(result, base_.path)); });
}

void ToolCall::diagnostics() {
  ask_diagnostics(bases(), [this](const Result<json>& all) { all ? show_diagnostics(*all) : fail_with(all.error()); });
}

void ToolCall::workspace_symbols(const std::string& query, std::function<void(std::vector<Symbol>)> then) {
  const auto settings = registry_->settings();
  auto questions = std::make_shared<std::vector<Query::Ask>>();
  if (args_.path.empty()) {
    *questions = questions_in(*settings, args_.workspace);
  } else {
    *questions = bases();
  }
  if (questions->empty()) {
    return fail_with(Error{
        ErrorKind::not_found,
        "no file in " + args_.workspace + " is in a language that a configured language server speaks; name a path",
        {}});
  }
  ask_servers(std::move(questions), query, {}, std::nullopt, std::move(then));
}

// One server after the other. One that fails takes no other along.
void ToolCall::ask_servers(std::shared_ptr<std::vector<Query::Ask>> left, std::string query, std::vector<Symbol> so_far,
                           std::optional<Error> failed, std::function<void(std::vector<Symbol>)> then) {
  if (left->empty()) return failed && so_far.empty() ? fail_with(*failed) : then(std::move(so_far));
  Query::Ask question = std::move(left->back());
  left->pop_back();
  if (args_.path.empty()) base_ = question;
  settle({question}, [this, question, left = std::move(left), query = std::move(query), so_far = std::move(so_far),
                      failed = std::move(failed), then = std::move(then)]() mutable {
    // Qualified names are for the server's own search to understand, or not: it is asked for the last part.
    const auto last = query.find_last_of(":.#/");
    question.method = "workspace/symbol";
    question.params = {{"query", last == std::string::npos ? query : query.substr(last + 1)}};
    question.wait = this->left();
    ask_raw(std::move(question),
            [this, left = std::move(left), query = std::move(query), so_far = std::move(so_far),
             failed = std::move(failed), then = std::move(then)](const Result<std::string>& answer) mutable {
              const auto result = answer ? parse_json(*answer) : Result<json>(std::unexpected(answer.error()));
              if (!result) failed = result.error();
              add_unknown(so_far, symbols_of(result ? *result : json(), {}));
              ask_servers(std::move(left), std::move(query), std::move(so_far), std::move(failed), std::move(then));
            });
  });
}

// ---- the server -----------------------------------------------------------------------------------------------------

Duration ToolCall::left() const {
  return std::max<Duration>(deadline_ - context_->host.now(), std::chrono::milliseconds(1));
}

std::vector<Query::Ask> ToolCall::bases() const {
  std::vector<Query::Ask> out{base_};
  out.insert(out.end(), others_.begin(), others_.end());
  return out;
}

Result<void> ToolCall::go_to(const std::string& path, const std::optional<std::string>& language) {
  auto asks = asks_about(*registry_->settings(), path, language);
  if (!asks) return std::unexpected(asks.error());
  base_ = asks->front();
  others_.assign(asks->begin() + 1, asks->end());
  return {};
}

void ToolCall::settle(std::vector<Query::Ask> asks, std::function<void()> then) {
  for (auto& each : asks) {
    each.kind = Query::Kind::settled;
    each.wait = left() / 4 * 3;
  }
  // What has failed fails again when it is asked.
  ask_all(std::move(asks), [this, then = std::move(then)](const QueryAll::Answers& settled) {
    indexing_ = indexing_ || std::ranges::any_of(settled, [](const auto& each) { return each && *each == "false"; });
    then();
  });
}

void ToolCall::ask(Query::Ask ask, Then then) {
  ask.wait = left();
  const std::string name = ask.server.name;
  ask_raw(std::move(ask), [this, name, then = std::move(then)](const Result<std::string>& answer) {
    auto result = result_of(answer, name);
    result ? then(std::move(*result)) : fail_with(result.error());
  });
}

void ToolCall::ask_each(const std::string& method, json params, ThenAll then) {
  auto asks = bases();
  for (auto& each : asks) {
    each.method = method;
    each.params = params;
    each.wait = left();
  }
  ask_all(asks, [this, asks, then = std::move(then)](const QueryAll::Answers& answers) {
    std::vector<json> out;
    std::optional<Error> failed;
    for (std::size_t i = 0; i < answers.size(); ++i) {
      auto result = result_of(answers[i], asks[i].server.name);
      if (result) out.push_back(std::move(*result));
      if (!result && !failed) failed = result.error();
    }
    out.empty() ? fail_with(*failed) : then(std::move(out));
  });
}

void ToolCall::ask_diagnostics(std::vector<Query::Ask> asks, std::function<void(const Result<json>&)> then) {
  std::vector<std::string> names;
  for (auto& each : asks) {
    each.kind = Query::Kind::diagnostics;
    each.wait = left();
    names.push_back(each.server.name);
  }
  ask_all(std::move(asks), [names, then = std::move(then)](const QueryAll::Answers& answers) {
    then(merged_diagnostics(names, answers));
  });
}

struct ToolCall::Asking {
  std::string method;
  json params;
  Then then;
  First wanted;
  std::vector<Query::Ask> bases;
  std::size_t next = 0;
  std::optional<std::pair<Query::Ask, json>> nothing{};  ///< the first result that does not count
  std::optional<Error> failed{};                         ///< the first error
};

void ToolCall::ask_first(const std::string& method, json params, Then then, First wanted) {
  ask_next(std::make_shared<Asking>(Asking{method, std::move(params), std::move(then), wanted, bases()}));
}

void ToolCall::ask_next(const std::shared_ptr<Asking>& asking) {
  const auto ends_with = [this, asking](const Query::Ask& base, json result) {
    base_ = base;
    asking->then(std::move(result));
  };
  if (asking->next == asking->bases.size()) {
    if (!asking->nothing) return fail_with(*asking->failed);
    return ends_with(asking->nothing->first, asking->nothing->second);
  }
  const Query::Ask& base = asking->bases[asking->next++];
  Query::Ask question = base;
  question.method = asking->method;
  question.params = asking->params;
  question.wait = left();
  ask_raw(std::move(question), [this, asking, &base, ends_with](const Result<std::string>& answer) {
    auto result = result_of(answer, base.server.name);
    if (!result && !asking->failed) asking->failed = result.error();
    if (result && (asking->wanted == First::answers || !result->empty())) return ends_with(base, std::move(*result));
    if (result && !asking->nothing) asking->nothing.emplace(base, std::move(*result));
    ask_next(asking);
  });
}

void ToolCall::ask_raw(Query::Ask ask, std::function<void(Result<std::string>)> then) {
  ask_all({std::move(ask)}, [then = std::move(then)](const QueryAll::Answers& answers) { then(answers.front()); });
}

void ToolCall::ask_all(std::vector<Query::Ask> asks, std::function<void(QueryAll::Answers)> then) {
  for (auto& each : asks) each.origin = call_.origin();
  const auto query =
      std::make_shared<QueryAll>(context_, registry_, std::move(asks),
                                 [self = shared_from_this(), then = std::move(then)](QueryAll::Answers answers) {
                                   self->on_worker([then, answers = std::move(answers)] { then(answers); });
                                 });
  {
    Lock lock(mutex_);
    std::erase_if(queries_, [](const auto& each) { return each.expired(); });
    queries_.push_back(query);
  }
  if (done_) query->cancel();
  query->begin();
}

void ToolCall::on_worker(std::function<void()> step) {
  auto posted = context_->worker.post([self = shared_from_this(), step = std::move(step)] {
    if (!self->done_) step();
  });
  if (!posted) fail_with(Error{posted.error().kind, "too many files are being read; try again later", {}});
}

void ToolCall::cancel() {
  fail_with(Error{ErrorKind::cancelled, "cancelled", {}});
  std::vector<std::weak_ptr<QueryAll>> queries;
  {
    Lock lock(mutex_);
    queries = std::move(queries_);
  }
  for (const auto& each : queries) {
    if (const auto query = each.lock()) query->cancel();
  }
}

void ToolCall::fail_with(const Error& error) { finish(std::unexpected(error)); }

void ToolCall::finish(const Result<json>& result) {
  if (!done_.exchange(true)) call_.reply(result);
}

}  // namespace gantry::lsp
