// SPDX-License-Identifier: Apache-2.0
//
// The launcher's methods: what they take, and who may call them.
#include <signal.h>

#include <algorithm>
#include <utility>

#include "host/calls/request_params.hpp"
#include "host/processes/launcher.hpp"

namespace gantry::host {

namespace {

constexpr std::size_t kMaxName = 128;

[[nodiscard]] bool has_nul(const std::string& text) { return text.find('\0') != std::string::npos; }

[[nodiscard]] std::unexpected<Error> no_helper(const std::string& name) {
  return fail(ErrorKind::not_found, "no helper \"" + name.substr(0, kMaxName) + "\" of this plugin runs");
}

}  // namespace

std::vector<ManifestMethod> Launcher::methods() {
  const json text{{"type", "string"}};
  const json texts{{"type", "array"}, {"items", text}};
  const json name{{"name", text}};
  const auto method = [](const char* called, const char* summary, json properties, json required) {
    ManifestMethod out;
    out.name = called;
    out.summary = summary;
    out.params = {{"type", "object"}, {"properties", std::move(properties)}, {"required", std::move(required)}};
    out.result = json::object();
    out.keeps_time = true;
    out.while_stopping = true;  // a plugin that stops ends its helpers
    return out;
  };
  return {method("process.spawn", "For plugins: runs a helper process, or hands out the one that runs under this name",
                 {{"name", text},
                  {"argv", texts},
                  {"cwd", text},
                  {"env", {{"type", "object"}, {"additionalProperties", text}}},
                  {"stdio", {{"enum", {"pipes", "socket"}}}},
                  {"read", texts},
                  {"write", texts},
                  {"network", {{"type", "boolean"}}},
                  {"max_memory_mib", {{"type", "integer"}, {"minimum", 16}}}},
                 {"name", "argv"}),
          method("process.kill", "For plugins: signals a helper's group; with SIGKILL nothing of it is left",
                 {{"name", text}, {"signal", {{"type", "integer"}, {"minimum", 1}, {"maximum", 64}}}}, {"name"}),
          method("process.note", "For plugins: keeps a text with a helper, for the instance that comes after a death",
                 {{"name", text}, {"note", text}}, {"name", "note"}),
          method("process.list", "For plugins: the helpers that run", json::object(), json::array()),
          method("process.wait", "For plugins: answers when a helper has ended, with all that it has started", name,
                 {"name"})};
}

std::optional<std::string> Launcher::plugin_of(OriginId origin) const {
  const Lock lock(mutex_);
  const auto it = plugins_.find(origin);
  return it == plugins_.end() ? std::nullopt : std::optional(it->second.plugin);
}

Result<Launcher::Caller> Launcher::caller(const CallRequest& request) const {
  const auto plugin = plugin_of(request.origin);
  if (!plugin)
    return fail(ErrorKind::permission_denied,
                request.method + " is for plugins that have the grant \"processes\"; a client has none");
  Caller out{request.origin, *plugin, {}};
  auto granted = deps_.granted(out.plugin);
  if (!granted) return std::unexpected(granted.error());
  if (!granted->processes)
    return fail(ErrorKind::permission_denied, request.method + ": plugin " + out.plugin +
                                                  " lacks the grant \"processes\"; its manifest must ask for it, and "
                                                  "[plugins." +
                                                  out.plugin + "] grants give it");
  out.granted = std::move(*granted);
  return out;
}

void Launcher::call(const CallRequest& request, const std::shared_ptr<CallSink>& sink) {
  const auto who = caller(request);
  if (!who) {
    deps_.log.write(Level::warn, "launcher", who.error().message);
    sink->answered(std::unexpected(who.error()));
  } else if (request.method == "process.spawn") {
    spawn(*who, request, sink);
  } else if (request.method == "process.wait") {
    wait(*who, request, sink);
  } else if (request.method == "process.note") {
    const auto noted = note(*who, request);
    sink->answered(noted ? Result<Answer>("{}") : std::unexpected(noted.error()));
  } else if (request.method == "process.kill") {
    const auto killed = kill(*who, request);
    sink->answered(killed ? Result<Answer>("{}") : std::unexpected(killed.error()));
  } else if (auto listed = list(*who, request); listed) {
    sink->answered(std::move(*listed));
  } else {
    sink->answered(std::unexpected(listed.error()));
  }
}

Result<Launcher::HelperRequest> Launcher::parse_request(const CallRequest& request) {
  auto params = params_of(request);
  if (!params) return std::unexpected(params.error());
  Params& p = *params;
  HelperRequest out;
  HelperCommand& c = out.command;
  out.name = p.string("name");
  c.argv = p.strings("argv");
  c.cwd = p.string_or("cwd", "");
  const std::string stdio = p.string_or("stdio", "pipes");
  c.one_socket = stdio == "socket";
  const auto paths = [&](const char* name) {
    std::vector<std::string> some;
    if (p.maybe_value(name)) some = p.strings(name);
    for (const auto& path : some)
      p.require(path.starts_with('/') && !has_nul(path), std::string(name) + " must hold absolute paths");
    return some;
  };
  c.read = paths("read");
  c.write = paths("write");
  c.network = p.boolean_or("network", false);
  c.max_memory_mib = p.maybe_integer("max_memory_mib", 16, std::int64_t{1} << 30);
  for (const auto& [name, value] : p.maybe_object("env").value_or(json::object()).items()) {
    p.require(!name.empty() && name.find('=') == std::string::npos && !has_nul(name) && value.is_string() &&
                  !has_nul(value.is_string() ? value.get<std::string>() : ""),
              "env must map names to strings");
    if (value.is_string()) c.environment[name] = value.get<std::string>();
  }
  p.require(!out.name.empty() && out.name.size() <= kMaxName, "name must have 1 to 128 bytes");
  p.require(stdio == "pipes" || stdio == "socket", R"(stdio must be "pipes" or "socket")");
  p.require(!c.argv.empty() && !c.argv.front().empty() && std::none_of(c.argv.begin(), c.argv.end(), has_nul),
            "argv must begin with a program");
  p.require(c.cwd.empty() || (c.cwd.starts_with('/') && !has_nul(c.cwd)), "cwd must be an absolute path");
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  return out;
}

Result<void> Launcher::kill(const Caller& caller, const CallRequest& request) {
  auto params = params_of(request);
  if (!params) return std::unexpected(params.error());
  const std::string name = params->string("name");
  const auto number = static_cast<int>(params->integer_or("signal", SIGKILL, 1, SIGRTMAX));
  if (auto ok = params->done(); !ok) return ok;
  std::shared_ptr<Helper> helper;
  {
    const Lock lock(mutex_);
    const auto it = entries_.find({caller.plugin, name});
    if (it == entries_.end()) return no_helper(name);
    helper = it->second->helper;
    if (!helper) it->second->signal = number;
    if (number == SIGKILL) it->second->ending = true;
  }
  if (!helper) return {};
  if (number == SIGKILL) {  // the guard sees to all of it
    helper->end();
    return {};
  }
  return helper->signal(number);
}

Result<void> Launcher::note(const Caller& caller, const CallRequest& request) {
  auto params = params_of(request);
  if (!params) return std::unexpected(params.error());
  const std::string name = params->string("name");
  std::string text = params->string("note");
  params->require(text.size() <= kMaxNote, "note must have 65536 bytes at most");
  if (auto ok = params->done(); !ok) return ok;
  const Lock lock(mutex_);
  const auto it = entries_.find({caller.plugin, name});
  if (it == entries_.end()) return no_helper(name);
  it->second->note.swap(text);
  return {};
}

Result<std::string> Launcher::list(const Caller& caller, const CallRequest& request) const {
  auto params = params_of(request);
  if (!params) return std::unexpected(params.error());
  if (auto ok = params->done(); !ok) return std::unexpected(ok.error());
  json out = json::array();
  const Lock lock(mutex_);
  for (const auto& [key, entry] : entries_) {
    if (key.first != caller.plugin) continue;
    json helper{{"name", key.second}, {"argv", entry->command.argv}, {"claimed", !entry->claims.empty()}};
    if (entry->helper) helper["pid"] = entry->helper->pid();
    if (!entry->note.empty()) helper["note"] = entry->note;
    out.push_back(std::move(helper));
  }
  return dump_json({{"helpers", std::move(out)}});
}

void Launcher::wait(const Caller& caller, const CallRequest& request, const std::shared_ptr<CallSink>& sink) {
  const auto name = only_param(request, "name");
  if (!name) {
    sink->answered(std::unexpected(name.error()));
    return;
  }
  std::optional<HelperEnd> end;
  {
    const Lock lock(mutex_);
    if (const auto it = entries_.find({caller.plugin, *name}); it != entries_.end()) {
      Waiting waiting{caller.origin, sink};
      if (request.deadline.exists())
        waiting.deadline = deps_.timers.at(request.deadline.at(),
                                           [this, weak = std::weak_ptr(it->second), sink] { give_up(weak, sink); });
      it->second->waiters.push_back(std::move(waiting));
      return;
    }
    const auto of_plugin = ended_.find(caller.plugin);
    if (of_plugin != ended_.end()) {
      for (const auto& each : of_plugin->second) {
        if (each.name == *name) end = each.end;
      }
    }
  }
  if (end) {
    sink->answered(dump_json(to_json(*end)));
  } else {
    sink->answered(no_helper(*name));
  }
}

void Launcher::give_up(const std::weak_ptr<Entry>& weak, const std::shared_ptr<CallSink>& sink) {
  const auto entry = weak.lock();
  if (!entry) return;
  {
    const Lock lock(mutex_);
    if (std::erase_if(entry->waiters, [&](const Waiting& w) { return w.sink == sink; }) == 0) return;
  }
  sink->answered(fail(ErrorKind::timeout, "the helper has not ended within the deadline"));
}

}  // namespace gantry::host
