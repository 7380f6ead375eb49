// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/both_modes.hpp"

#include <cstdio>
#include <regex>
#include <set>
#include <utility>

namespace gantry::host::test {

namespace {

const std::set<std::string> kNeverTheSame{
    "pid",         "origin",                                 // numbers that the system or the host gives
    "epoch",       "log",         "cursor",  "next_cursor",  // of a log, which is another one each time
    "created_ms",  "updated_ms",  "seconds",                 // clocks
    "stderr_tail",                                           // a language server's own log, with its clock
    "rss_bytes",   "cpu_seconds",                            // what it uses
};
/// A process that is confined does not get to know this.
constexpr std::string_view kInsideOnly = "pss_bytes";

[[nodiscard]] std::string play(const Stage& stage, const std::string& isolation, const Script& script) {
  Sandbox box;
  std::string config = "[log]\nstderr = false\n" + stage.config;
  for (const auto& [name, library] : stage.plugins) {
    config += "[plugins." + name + "]\nisolation = \"" + isolation + "\"\n";
    if (library.empty()) continue;
    config += "path = \"" + library + "\"\n";
    config +=
        "grants = [\"call:**\", \"client\", \"publish:**\", \"subscribe:**\", \"write:" + box.dir().string() + "\"]\n";
  }
  for (const char* name : {"ai", "lsp", "project_state"}) {  // the others are not heard
    if (!stage.plugins.contains(name)) config += "[plugins." + std::string(name) + "]\nenabled = false\n";
  }
  box.write("g.toml", config);
  if (stage.prepare) stage.prepare(box);
  (void)box.serve({"--config", (box.dir() / "g.toml").string(), "--workspace", box.work().string()});
  std::string transcript;
  {
    Talk talk(box);
    script(talk, box);
    transcript = talk.transcript();
  }
  for (const auto& plugin : *box.connect().call("host.plugins", json::object(), kTimeout)) {
    if (!stage.plugins.contains(plugin["name"])) continue;
    INFO(plugin["name"] << " " << plugin.dump());
    REQUIRE(plugin["isolation"] == isolation);
    REQUIRE(plugin["state"] == "ready");
    REQUIRE(plugin["restarts"] == 0);
  }
  return transcript;
}

[[nodiscard]] std::string difference(const std::string& one, const std::string& other) {
  Sandbox box;
  box.write("inline", one);
  box.write("child", other);
  const std::string command = "cd " + box.dir().string() + " && diff -U4 inline child";
  std::string out;
  FILE* const diff = ::popen(command.c_str(), "r");
  std::array<char, 4096> bytes{};
  while (diff != nullptr && std::fgets(bytes.data(), bytes.size(), diff) != nullptr) out += bytes.data();
  if (diff != nullptr) ::pclose(diff);
  return out;
}

}  // namespace

void same_in_both_modes(const Stage& stage, const Script& script) {
  const auto inside = play(stage, "inline", script);
  const auto outside = play(stage, "child", script);
  REQUIRE(std::count(inside.begin(), inside.end(), '\n') > 2);
  if (inside != outside) FAIL("it is not the same in both modes:\n" << difference(inside, outside));
}

Talk::Talk(const Sandbox& box) : folder_(box.dir().string()), client_(box.connect()) {
  REQUIRE(client_.call("host.hello", {{"client", "talk"}, {"workspace", box.work().string()}, {"answers", true}},
                       kTimeout));
}

void Talk::send(const json& message) { REQUIRE(client_.send(dump_json(message))); }

int Talk::open(const std::string& method, json params, std::optional<int> credit) {
  const int id = ++last_id_;
  Spoken spoken;
  spoken.lines.push_back(method + " " + words(params) + (credit ? " as a stream of " + std::to_string(*credit) : ""));
  spoken_.emplace(id, std::move(spoken));
  if (credit) params["_meta"]["stream"]["credit"] = *credit;
  send({{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", params}});
  return id;
}
json Talk::call(const std::string& method, const json& params) { return answer(open(method, params)); }

void Talk::credit(int id, int items) {
  spoken_.at(id).lines.push_back("  > credit " + std::to_string(items));
  send({{"jsonrpc", "2.0"}, {"method", "$/credit"}, {"params", {{"id", id}, {"n", items}}}});
}
void Talk::item(int id, const json& item) {
  spoken_.at(id).lines.push_back("  > item " + words(item));
  send({{"jsonrpc", "2.0"}, {"method", "$/stream"}, {"params", {{"id", id}, {"item", item}}}});
}
void Talk::end(int id) {
  spoken_.at(id).lines.emplace_back("  > end");
  send({{"jsonrpc", "2.0"}, {"method", "$/stream"}, {"params", {{"id", id}, {"end", true}}}});
}
void Talk::cancel(int id) {
  spoken_.at(id).lines.emplace_back("  > cancel");
  send({{"jsonrpc", "2.0"}, {"method", "$/cancelRequest"}, {"params", {{"id", id}}}});
}

void Talk::wait(const char* what, const std::function<bool()>& holds) {
  while (!holds()) {
    const auto message = client_.receive(kTimeout);
    if (!message) FAIL("waited in vain for " << what << ": " << message.error().message << "\n" << transcript());
    handle(*message);
  }
}
void Talk::hear_items(int id, std::size_t items) {
  wait("items", [&] { return spoken_.at(id).items.size() >= items; });
}
void Talk::hear_end(int id) {
  wait("the end of a stream", [&] { return spoken_.at(id).ended; });
}
void Talk::hear_progress(int id) {
  wait("progress", [&] { return spoken_.at(id).progress > 0; });
}
void Talk::hear_credit(int id, int items) {
  wait("credit", [&] { return spoken_.at(id).credit >= items; });
}
void Talk::hear_events(std::size_t events) {
  wait("events", [&] { return events_.size() >= events; });
}
json Talk::answer(int id) {
  Spoken& spoken = spoken_.at(id);
  wait("an answer", [&] { return spoken.answer.has_value(); });
  if (spoken.credit > 0) spoken.lines.push_back("  < credit, in all " + std::to_string(spoken.credit));
  const json& answer = *spoken.answer;
  spoken.lines.push_back(answer.contains("result") ? "  = " + words(answer["result"])
                                                   : "  ! " + words(answer.value("error", json())));
  return answer;
}

void Talk::subscribe(const json& topics) {
  const int id = open("events.subscribe", {{"topics", topics}});
  wait("an answer", [&] { return spoken_.at(id).answer.has_value(); });
  // How many events went before is a matter of time: of a client that has just left, say.
  json& said = *spoken_.at(id).answer;
  if (said.contains("result")) said["result"].erase("seq");
  (void)answer(id);
}

void Talk::only(int id, std::function<bool(const json&)> takes) { spoken_.at(id).takes = std::move(takes); }

void Talk::until(const std::string& method, const json& params, const std::function<bool(const json&)>& holds) {
  const auto end = std::chrono::steady_clock::now() + kTimeout;
  for (json result;;) {
    const int id = last_unwritten_--;
    spoken_.emplace(id, Spoken{});
    send({{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", params}});
    wait(method.c_str(), [&] { return spoken_.at(id).answer.has_value(); });
    result = spoken_.at(id).answer->value("result", json());
    spoken_.erase(id);
    if (holds(result)) return;
    if (std::chrono::steady_clock::now() > end) FAIL("waited in vain for " << method << ": " << dump_json(result));
  }
}

void Talk::handle(const json& message) {
  const std::string method = message.value("method", "");
  const json params = message.value("params", json::object());
  if (!method.empty() && message.contains("id")) {  // asked by a plugin
    asked_.push_back("asked " + method + " " + words(params));
    send({{"jsonrpc", "2.0"}, {"id", message["id"]}, {"result", {{"told", params}}}});
    return;
  }
  if (method == "$/event") {
    json event = params;
    event.erase("subscription");
    events_.push_back("event " + words(event));
    return;
  }
  const json id = method.empty() ? message.value("id", json()) : params.value("id", json());
  const auto found = spoken_.find(id.is_number() ? id.get<int>() : 0);
  if (found == spoken_.end()) FAIL("nobody waits for " << dump_json(message));
  Spoken& spoken = found->second;
  if (method.empty()) {
    if (spoken.answer) FAIL("a second answer: " << dump_json(message));
    spoken.answer = message;
  } else if (method == "$/stream" && params.value("end", false)) {
    spoken.ended = true;
    spoken.lines.emplace_back("  < end");
  } else if (method == "$/stream") {
    if (spoken.takes && !spoken.takes(params["item"])) return;
    spoken.items.push_back(params["item"]);
    spoken.lines.push_back("  < item " + words(params["item"]));
  } else if (method == "$/credit") {
    spoken.credit += params.value("n", 0);
  } else {
    ++spoken.progress;
    json told = params;
    told.erase("id");
    spoken.lines.push_back("  < " + method + " " + words(told));
  }
}

json Talk::plain(const json& value, const std::string& name) {
  if (kNeverTheSame.contains(name) && value.is_primitive() && !value.is_null()) return "(" + name + ")";
  if (value.is_string()) return plain_text(value.get<std::string>());
  if (!value.is_structured()) return value;
  json out = value.is_array() ? json::array() : json::object();
  for (const auto& [key, member] : value.items()) {
    if (value.is_array()) {
      out.push_back(plain(member));
    } else if (key != kInsideOnly) {
      out[plain_text(key)] = plain(member, key);
    }
  }
  return out;
}

std::string Talk::plain_text(std::string text) {
  for (auto at = text.find(folder_); at != std::string::npos; at = text.find(folder_))
    text.replace(at, folder_.size(), "$BOX");
  static const std::regex kId("[0-9a-f]{32}");
  std::string out;
  std::smatch match;
  while (std::regex_search(text, match, kId)) {
    auto& name = ids_[match.str()];
    if (name.empty()) name = "ID-" + std::to_string(ids_.size());
    out += match.prefix().str() + name;
    text = match.suffix().str();
  }
  return out + text;
}

std::string Talk::transcript() const {
  std::string out;
  for (const auto& [id, spoken] : spoken_) {
    for (const auto& line : spoken.lines) out += line + "\n";
  }
  for (const auto* lines : {&asked_, &events_}) {
    for (const auto& line : *lines) out += line + "\n";
  }
  return out;
}

}  // namespace gantry::host::test
