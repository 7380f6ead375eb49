// SPDX-License-Identifier: Apache-2.0
//
// The official client is the yardstick: the same bytes of a server, read by npm's `openai` and by
// Gantry, side by side. Where they differ, openai_client/differences.txt says why; a difference
// that is not there fails, and so does one that is no more.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>

#include "tests/folders.hpp"
#include "tests/unit/ai/support.hpp"

using namespace gantry;
using testing::TestHost;

namespace {

const std::string kFolder = gantry::folders::source() + "/tests/unit/ai/openai_client";

// The forms' server, with what the official client made of each. It ends when its input does.
class Server {
 public:
  explicit Server(const std::string& modules) {
    int in[2];
    int out[2];
    REQUIRE(::pipe2(in, O_CLOEXEC) == 0);
    REQUIRE(::pipe2(out, O_CLOEXEC) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    const std::string command = "cp " + kFolder + "/*.mjs '" + folder_.name() + "' && ln -s '" + modules +
                                "/node_modules' '" + folder_.name() + "/node_modules' && cd '" + folder_.name() +
                                "' && exec node serve.mjs";
    const char* arguments[] = {"sh", "-c", command.c_str(), nullptr};
    REQUIRE(::posix_spawn(&pid_, "/bin/sh", &actions, nullptr, const_cast<char**>(arguments), environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    (void)::close(in[0]);
    (void)::close(out[1]);
    input_ = in[1];
    std::FILE* lines = ::fdopen(out[0], "r");
    char* line = nullptr;
    std::size_t room = 0;
    const ssize_t got = ::getline(&line, &room, lines);
    const std::string text(line == nullptr ? "" : line, got < 0 ? 0 : static_cast<std::size_t>(got));
    std::free(line);
    (void)std::fclose(lines);
    REQUIRE(!text.empty());
    told_ = json::parse(text);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() {
    (void)::close(input_);
    (void)::waitpid(pid_, nullptr, 0);
  }

  [[nodiscard]] const json& forms() const { return told_["forms"]; }
  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + told_["port"].dump() + "/v1"; }

 private:
  ai_test::Folder folder_;
  pid_t pid_ = 0;
  int input_ = -1;
  json told_;
};

std::string text(const json& value) { return value.is_string() ? value.get<std::string>() : std::string(); }

// As serve.mjs shows what the official client made of an answer.
json outcome(const json& form, const Result<json>& result) {
  if (!result) return {{"error", result.error().message}};
  const json message = form["kind"] == "complete" ? json{{"content", (*result)["text"]}} : (*result)["message"];
  json tools = json::array();
  for (const auto& call : message.value("tool_calls", json::array())) {
    const json function = call.value("function", json::object());
    tools.push_back({{"id", text(call.value("id", json()))},
                     {"name", text(function.value("name", json()))},
                     {"arguments", text(function.value("arguments", json()))}});
  }
  return {{"text", text(message["content"])},
          {"refusal", text(message.value("refusal", json()))},
          {"finish", (*result)["finish_reason"]},
          {"tools", tools}};
}

// Names of forms, each with its reason: a line that begins with a letter is a reason, those
// indented below it are names.
std::map<std::string, std::string> listed() {
  std::map<std::string, std::string> reasons;
  std::string reason;
  std::ifstream file(kFolder + "/differences.txt");
  REQUIRE(file.is_open());
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line.starts_with('#')) continue;
    if (!line.starts_with("  ")) {
      reason = line;
    } else {
      INFO(line);
      REQUIRE(!reason.empty());
      REQUIRE(reasons.emplace(line.substr(2), reason).second);
    }
  }
  return reasons;
}

bool same(const json& official, const json& ours) {
  return official.contains("error") && ours.contains("error") ? true : official == ours;
}

}  // namespace

TEST_CASE(
    "ai official: Gantry makes of a server's bytes what the official client makes of them, but for what is listed") {
  const std::string modules = gantry::folders::build() + "/npm";  // tests/npm
  const Server server(modules);
  REQUIRE(server.forms().size() >= 200);
  TestHost host(ai_test::kPlugin, ai_test::config(server.url(), json::object(), 0));
  auto reasons = listed();
  std::string unlisted;
  std::size_t compared = 0;
  for (const auto& form : server.forms()) {
    const std::string name = form["name"];
    const std::string words = "form " + std::to_string(compared++);
    const bool chat = form["kind"] == "chat";
    const std::string method = chat ? "ai.chat" : "ai.complete";
    const json params = chat ? json{{"messages", {{{"role", "user"}, {"content", words}}}}} : json{{"prefix", words}};
    const auto result =
        form["stream"] == true ? ai_test::drain(host.open(method, params, 10'000)).result : host.call(method, params);
    const json ours = outcome(form, result);
    const bool known = reasons.erase(name) > 0;
    if (same(form["outcome"], ours) != known) continue;
    unlisted += (known ? "NO LONGER DIFFERS: " : "DIFFERS: ") + name + "\n    official " + form["outcome"].dump() +
                "\n    ours     " + ours.dump() + "\n";
  }
  for (const auto& [name, reason] : reasons) unlisted += "NO SUCH FORM: " + name + "\n";
  INFO(unlisted);
  REQUIRE(unlisted.empty());
  host.stop();
}
