// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/mcp/methods.hpp"

#include <map>
#include <utility>

#include "host/runtime/json_text.hpp"

namespace gantry::host::mcp {

namespace {

constexpr std::size_t kPadding = 64;  // that the parser reads behind a text

[[nodiscard]] std::string padded(std::string_view text) {
  std::string out;
  out.reserve(text.size() + kPadding);
  return out.append(text);
}

}  // namespace

Methods::Methods(HostCalls& host, Requests& requests, Questions& questions, ClientLink& client, EnvelopeParser& parser,
                 Seal seal)
    : host_(host),
      requests_(requests),
      parser_(parser),
      seal_(std::move(seal)),
      invocations_(host, requests, questions, seal_),
      subscriptions_(host, requests, client) {}

bool Methods::serve(const RequestPtr& request) {
  using List = Catalog::List;
  const std::string& method = request->method;
  const bool modern = request->revision->modern;
  if (method == "tools/list") return list(request, List::tools), true;
  if (method == "tools/call") return call_tool(request), true;
  if (method == "resources/list") return list(request, List::resources), true;
  if (method == "resources/templates/list") return list(request, List::templates), true;
  if (method == "resources/read") return read_resource(request), true;
  if (method == "prompts/list") return list(request, List::prompts), true;
  if (method == "prompts/get") return get_prompt(request), true;
  if (method == "completion/complete") return complete(request), true;
  if (method == "resources/subscribe" && !modern) return subscribe(request), true;
  if (method == "resources/unsubscribe" && !modern) return unsubscribe(request), true;
  if (method == "subscriptions/listen" && modern) return listen(request), true;
  return false;
}

void Methods::event(std::string_view topic, const json& payload) {
  if (topic.starts_with("host.")) {
    read_catalog();
  } else {
    subscriptions_.event(topic, payload, catalog_);
  }
}

void Methods::begin() {
  if (std::exchange(begun_, true)) return;
  host_.call("events.subscribe", R"({"topics":["host.plugin.*","host.config.reloaded"]})",
             {.answered = [](const Result<std::string_view>&) {}});
  read_catalog();
}

void Methods::read_catalog() {
  if (std::exchange(reading_, true)) {
    again_ = true;
    return;
  }
  host_.call("rpc.discover", "{}",
             {.answered = [this](const Result<std::string_view>& document) { take_catalog(document); }});
}

void Methods::take_catalog(const Result<std::string_view>& document) {
  reading_ = false;
  const bool read_again = std::exchange(again_, false);
  auto waiting = std::exchange(waiting_, {});
  const auto doc = document ? parse_json(*document) : std::unexpected(document.error());
  if (!doc) {
    for (const auto& [request, use] : waiting) requests_.fail(request, failure_of(doc.error()));
  } else {
    const Catalog before = std::exchange(catalog_, Catalog(*doc));
    if (std::exchange(loaded_, true)) tell_changes(before);
    for (const auto& [request, use] : waiting) {
      request->on_cancel = nullptr;
      (void)use(true);
    }
  }
  if (read_again) read_catalog();
}

void Methods::tell_changes(const Catalog& before) {
  using List = Catalog::List;
  for (const List list : {List::tools, List::resources, List::prompts}) {
    if (before.fingerprint(list) != catalog_.fingerprint(list)) subscriptions_.list_changed(list);
  }
  subscriptions_.follow(catalog_);
}

void Methods::with_catalog(const RequestPtr& request, Use use) {
  if (loaded_ && use(false)) return;
  waiting_.push_back({request, std::move(use)});
  request->on_cancel = [this, waits = request.get()] {
    std::erase_if(waiting_, [&](const Waiting& w) { return w.request.get() == waits; });
  };
  if (begun_) {
    read_catalog();
  } else {
    begin();
  }
}

void Methods::list(const RequestPtr& request, Catalog::List list) {
  const json cursor = member(*request, "cursor");
  if (!cursor.is_null() && !cursor.is_string())
    return requests_.fail(request, {code::kInvalidParams, "cursor must be a string"});
  with_catalog(request, [this, request, list, cursor](bool /*last*/) {
    auto page = catalog_.page(list, *request->revision, cursor.is_null() ? "" : cursor.get<std::string>());
    if (!page) {
      requests_.fail(request, failure_of(page.error()));
      return true;
    }
    if (request->revision->modern) {
      (*page)["ttlMs"] = kListTtlMs;
      (*page)["cacheScope"] = "private";
    }
    requests_.reply(request, std::move(*page));
    return true;
  });
}

json Methods::member(const Request& request, const char* name) {
  const std::string_view text = parser_.raw_member(request.params, name);
  auto value = text.empty() ? Result<json>(json()) : parse_json(text);
  return value ? std::move(*value) : json();
}

Result<std::string> Methods::arguments(const Request& request) {
  const std::string_view text = parser_.raw_member(request.params, "arguments");
  if (text.empty() || text == "null") return "{}";
  if (!text.starts_with('{')) return fail(ErrorKind::invalid_params, "arguments must be an object");
  std::string out = padded(text);
  if (!parser_.raw_member(out, "_meta").empty())
    return fail(ErrorKind::invalid_params, "arguments must have no member _meta");
  return out;
}

json Methods::input(const Request& request) {
  json out = json::object();
  if (!request.revision->modern) return out;
  for (const char* name : {"inputResponses", "requestState"}) {
    if (auto value = member(request, name); !value.is_null()) out[name] = std::move(value);
  }
  return out;
}

bool Methods::unknown(const RequestPtr& request, bool last, Failure failure) {
  if (last) requests_.fail(request, failure);
  return last;
}

void Methods::call_tool(const RequestPtr& request) {
  const json name = member(*request, "name");
  auto given = arguments(*request);
  if (!name.is_string() || !given)
    return requests_.fail(request, {code::kInvalidParams, given ? "name must be a string" : given.error().message});
  with_catalog(request, [this, request, name = name.get<std::string>(), given = *given](bool last) {
    const ToolEntry* const tool = catalog_.tool(name);
    if (tool == nullptr) return unknown(request, last, {code::kInvalidParams, "unknown tool: " + name});
    invocations_.start(request,
                       {.kind = Invocation::Kind::tool,
                        .name = name,
                        .method = tool->method,
                        .arguments = given,
                        .content = tool->content,
                        .logs = tool->logs},
                       input(*request));
    return true;
  });
}

void Methods::get_prompt(const RequestPtr& request) {
  const json name = member(*request, "name");
  auto given = arguments(*request);
  if (!name.is_string() || !given)
    return requests_.fail(request, {code::kInvalidParams, given ? "name must be a string" : given.error().message});
  with_catalog(request, [this, request, name = name.get<std::string>(), given = *given](bool last) {
    const PromptEntry* const prompt = catalog_.prompt(name);
    if (prompt == nullptr) return unknown(request, last, {code::kInvalidParams, "unknown prompt: " + name});
    invocations_.start(request,
                       {.kind = Invocation::Kind::prompt, .name = name, .method = prompt->method, .arguments = given},
                       input(*request));
    return true;
  });
}

void Methods::read_resource(const RequestPtr& request) {
  const json uri = member(*request, "uri");
  if (!uri.is_string()) return requests_.fail(request, {code::kInvalidParams, "uri must be a string"});
  with_catalog(request, [this, request, uri = uri.get<std::string>()](bool last) {
    auto found = catalog_.resource(uri);
    if (!found)
      return unknown(request, last,
                     {request->revision->modern ? code::kInvalidParams : code::kResourceNotFound,
                      "resource not found: " + uri,
                      {{"uri", uri}}});
    json params = std::move(found->variables);
    params["uri"] = uri;
    invocations_.start(request,
                       {.kind = Invocation::Kind::resource,
                        .name = uri,
                        .method = found->entry->method,
                        .arguments = dump_json(params)},
                       input(*request));
    return true;
  });
}

void Methods::complete(const RequestPtr& request) {
  const json ref = member(*request, "ref");
  const json argument = member(*request, "argument");
  const json context = member(*request, "context");
  const std::string type = text_member(ref, "type");
  const bool of_prompt = type == "ref/prompt";
  const std::string name = text_member(ref, of_prompt ? "name" : "uri");
  if ((!of_prompt && type != "ref/resource") || !argument.is_object() || text_member(argument, "name").empty() ||
      !argument.value("value", json()).is_string())
    return requests_.fail(request, {code::kInvalidParams,
                                    "ref must be {type: \"ref/prompt\", name} or {type: \"ref/resource\", uri}, "
                                    "argument {name, value}"});
  with_catalog(request, [this, request, of_prompt, name, argument, context](bool last) {
    const PromptEntry* const prompt = of_prompt ? catalog_.prompt(name) : nullptr;
    const ResourceEntry* const resource = of_prompt ? nullptr : catalog_.resource_template(name);
    if (prompt == nullptr && resource == nullptr)
      return unknown(request, last, {code::kInvalidParams, "nothing to complete: " + name});
    complete_by(request, prompt != nullptr ? prompt->completes : resource->completes, argument, context);
    return true;
  });
}

void Methods::complete_by(const RequestPtr& request, const std::string& method, const json& argument,
                          const json& context) {
  if (method.empty()) return requests_.reply(request, {{"completion", {{"values", json::array()}}}});
  json others = json::object();
  if (context.is_object() && context.contains("arguments")) others = context["arguments"];
  const json params{{"argument", argument["name"]}, {"value", argument["value"]}, {"others", others}};
  const auto key = host_.call(
      method, dump_json(params), {.answered = [this, request](const Result<std::string_view>& answer) {
        auto result = answer ? parse_json(*answer) : std::unexpected(answer.error());
        if (!result) return requests_.fail(request, failure_of(result.error()));
        json values = result->is_object() ? result->value("values", json()) : json();
        if (!values.is_array())
          return requests_.fail(request, {code::kInternal, "the completing method has answered without values"});
        json completion{{"values", json::array()}};
        for (const auto& value : values) {
          if (completion["values"].size() < kMaxCompletions) completion["values"].push_back(value);
        }
        for (const char* member : {"total", "hasMore"}) {
          if (const auto it = result->find(member); it != result->end()) completion[member] = *it;
        }
        if (values.size() > kMaxCompletions) completion["hasMore"] = true;
        requests_.reply(request, {{"completion", std::move(completion)}});
      }});
  request->on_cancel = [this, key] { host_.cancel(key); };
}

void Methods::subscribe(const RequestPtr& request) {
  const json uri = member(*request, "uri");
  if (!uri.is_string()) return requests_.fail(request, {code::kInvalidParams, "uri must be a string"});
  with_catalog(request, [this, request, uri = uri.get<std::string>()](bool last) {
    if (!catalog_.resource(uri))
      return unknown(request, last, {code::kResourceNotFound, "resource not found: " + uri, {{"uri", uri}}});
    subscriptions_.subscribe(request, uri, catalog_);
    return true;
  });
}

void Methods::unsubscribe(const RequestPtr& request) {
  const json uri = member(*request, "uri");
  if (!uri.is_string()) return requests_.fail(request, {code::kInvalidParams, "uri must be a string"});
  subscriptions_.unsubscribe(request, uri.get<std::string>());
}

void Methods::listen(const RequestPtr& request) {
  const json filter = member(*request, "notifications");
  if (!filter.is_object()) return requests_.fail(request, {code::kInvalidParams, "notifications must be an object"});
  with_catalog(request, [this, request, filter](bool /*last*/) {
    subscriptions_.listen(request, filter, catalog_);
    return true;
  });
}

}  // namespace gantry::host::mcp
