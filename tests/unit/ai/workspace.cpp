// SPDX-License-Identifier: Apache-2.0
//
// Learning a folder: what is read, what is passed over, what is told, and completions through the plugin.
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "plugins/ai/embedded/gitignore.hpp"
#include "plugins/ai/embedded/walk.hpp"
#include "tests/folders.hpp"
#include "tests/unit/ai/support.hpp"

using namespace gantry;
using namespace gantry::ai;
using ai_test::Folder;
using testing::TestHost;

namespace {

const std::atomic<bool> kGoOn{false};

std::vector<std::string> walked(const Folder& folder, WalkLimits limits = {}) {
  std::vector<std::string> texts;
  (void)walk_text_files(folder.path(), limits, kGoOn, [&](const std::string& text) {
    texts.push_back(text);
    return true;
  });
  return texts;
}

json serving(std::vector<std::string> workspaces, json settings = json::object()) {
  return {{"name", "ai"}, {"workspaces", std::move(workspaces)}, {"settings", std::move(settings)}};
}

json learned(TestHost& host, const std::string& workspace) {
  json found;
  host.wait("the workspace to be learned", [&] {
    for (const auto& event : host.events()) {
      if (event.topic == "ai.index.progress" && event.payload["workspace"] == workspace &&
          event.payload["done"] == true) {
        found = event.payload;
      }
    }
    return !found.is_null();
  });
  return found;
}

}  // namespace

TEST_CASE("ai walk: regular text files in a fixed order, and nothing else") {
  const Folder folder;
  folder.write("b.txt", "second");
  folder.write("a/z.txt", "first");
  folder.write("binary", std::string("\x7F"
                                     "ELF\0\0",
                                     6));
  folder.write("latin1.txt", "caf\xE9");
  folder.write("huge.txt", std::string(2U << 20U, '\n'));
  folder.write("minified.js", std::string(5000, 'x'));
  folder.write("empty", "");
  folder.write(".env", "SECRET=1");
  folder.write("server.key", "-----BEGIN");
  folder.write(".git/config", "x");
  folder.write("node_modules/m/i.js", "x");
  folder.write("build/out.txt", "x");
  REQUIRE(::mkfifo((folder.path() / "fifo").c_str(), 0600) == 0);
  std::filesystem::create_directory_symlink(folder.path(), folder.path() / "loop");
  std::filesystem::create_symlink("/etc/passwd", folder.path() / "outside");
  REQUIRE(walked(folder) == std::vector<std::string>{"first", "second"});
}

TEST_CASE("ai walk: .gitignore holds, the innermost first") {
  const Folder folder;
  folder.write(".gitignore", "*.log\n!keep.log\n/top.txt\nsub/skipped/\n**/deep/x?.txt\n");
  folder.write("a.log", "1");
  folder.write("keep.log", "kept log");
  folder.write("top.txt", "2");
  folder.write("sub/top.txt", "kept top");
  folder.write("sub/skipped/y.txt", "3");
  folder.write("sub/deep/x1.txt", "4");
  folder.write("zub/.gitignore", "!*.log\n");
  folder.write("zub/b.log", "kept inner");
  REQUIRE(walked(folder) == std::vector<std::string>{"kept log", "kept top", "kept inner"});
}

TEST_CASE("ai walk: limits end it and say so") {
  const Folder folder;
  for (int i = 0; i < 10; ++i) folder.write("f" + std::to_string(i), "text");
  WalkLimits limits;
  limits.max_files = 4;
  std::size_t seen = 0;
  const auto each = [&](const std::string&) {
    ++seen;
    return true;
  };
  REQUIRE(!walk_text_files(folder.path(), limits, kGoOn, each).complete);
  REQUIRE(seen == 4);
  REQUIRE(walk_text_files(folder.path(), {}, kGoOn, each).complete);
  const std::atomic<bool> stop{true};
  REQUIRE(!walk_text_files(folder.path(), {}, stop, each).complete);
}

TEST_CASE("ai gitignore: patterns mean what git says") {
  const Gitignore rules("# comment\n\nfoo\n/bar\na/**/z\ntail/**\n*.o\nonly/\n[ab].c\n");
  REQUIRE(rules.ignored("foo", false) == true);
  REQUIRE(rules.ignored("x/foo", false) == true);
  REQUIRE(rules.ignored("bar", false) == true);
  REQUIRE(rules.ignored("x/bar", false) == std::nullopt);
  REQUIRE(rules.ignored("a/z", false) == true);
  REQUIRE(rules.ignored("a/b/c/z", false) == true);
  REQUIRE(rules.ignored("tail", true) == std::nullopt);
  REQUIRE(rules.ignored("tail/x", false) == true);
  REQUIRE(rules.ignored("q/w.o", false) == true);
  REQUIRE(rules.ignored("only", false) == std::nullopt);
  REQUIRE(rules.ignored("only", true) == true);
  REQUIRE(rules.ignored("b.c", false) == true);
}

TEST_CASE("ai index: progress is told from the beginning to the end") {
  const Folder folder;
  folder.write("a.txt", "one two three\n");
  folder.write("b.txt", "four\n");
  TestHost host(ai_test::kPlugin, serving({folder.name()}));
  const json last = learned(host, folder.name());
  REQUIRE(last["files"] == 2);
  REQUIRE(last["tokens"].get<int>() > 5);
  REQUIRE(last["truncated"] == false);
  REQUIRE(host.events().front().payload["done"] == false);
  const auto models = host.call("ai.models");
  REQUIRE(models);
  REQUIRE((*models)["models"][0]["name"] == "embedded");
  REQUIRE((*models)["models"][0]["workspaces"][0]["done"] == true);
  host.stop();
}

TEST_CASE("ai.complete: predicts this repository's own text through the plugin") {
  TestHost host(ai_test::kPlugin, serving({gantry::folders::source() + "/sdk"}));
  REQUIRE(learned(host, gantry::folders::source() + "/sdk")["files"].get<int>() > 10);
  const json params{{"prefix", "template <class T>\nusing Result = std::exp"}};
  const auto result = host.call("ai.complete", params);
  REQUIRE(result);
  REQUIRE((*result)["text"] == "ected<T, Error>;");
  REQUIRE((*result)["model"] == "embedded");
  REQUIRE((*result)["finish_reason"] == "stop");
  REQUIRE((*result)["ready"] == true);
  REQUIRE((*result)["confidence"].get<double>() > 0.2);

  auto stream = host.open("ai.complete", params, 100);
  std::string streamed;
  while (const auto item = stream.next()) streamed += (*item)["text"].get<std::string>();
  REQUIRE(streamed == "ected<T, Error>;");
  REQUIRE((*stream.result())["text"] == streamed);
  host.stop();
}

TEST_CASE("ai.complete: a workspace that teaches nothing gives no text and no confidence") {
  const Folder folder;
  TestHost host(ai_test::kPlugin, serving({folder.name()}));
  REQUIRE(learned(host, folder.name())["files"] == 0);
  const auto result = host.call("ai.complete", {{"prefix", "void something("}});
  REQUIRE(result);
  REQUIRE((*result)["text"].get<std::string>().empty());
  REQUIRE((*result)["confidence"] == 0);
  host.stop();
}

TEST_CASE("ai.complete: the workspace is the one named, the caller's, the file's, or the only one") {
  const Folder one;
  const Folder two;
  one.write("f.txt", "the animal is alpha\n");
  two.write("f.txt", "the animal is beta\n");
  TestHost host(ai_test::kPlugin, serving({one.name(), two.name()}));
  (void)learned(host, one.name());
  (void)learned(host, two.name());
  host.describe_origin(5, {{"client", "t"}, {"workspace", two.name()}});
  const auto text = [&](json params, std::uint64_t origin) {
    params["prefix"] = "the animal is ";
    const auto result = host.call("ai.complete", params, Duration(-1), origin);
    return result ? (*result)["text"].get<std::string>() : result.error().message;
  };
  REQUIRE(text({{"workspace", one.name()}}, 5) == "alpha");
  REQUIRE(text(json::object(), 5) == "beta");
  REQUIRE(text({{"path", one.name() + "/sub/x.txt"}}, 6) == "alpha");
  REQUIRE(text({{"path", two.name() + "/x.txt"}}, 6) == "beta");
  REQUIRE(text({{"path", one.name() + "-not/x.txt"}}, 6).empty());
  REQUIRE(text(json::object(), 6).empty());
  const auto unknown = host.call("ai.complete", {{"prefix", "x"}, {"workspace", "/nowhere"}});
  REQUIRE(unknown.error().kind == ErrorKind::not_found);
  host.stop();
}

TEST_CASE("ai index: workspaces come and go while the plugin runs") {
  const Folder one;
  const Folder two;
  one.write("f.txt", "the animal is alpha\n");
  two.write("f.txt", "the animal is beta\n");
  TestHost host(ai_test::kPlugin, serving({one.name()}));
  (void)learned(host, one.name());
  host.reconfigure(serving({two.name()}));
  (void)learned(host, two.name());
  const auto result = host.call("ai.complete", {{"prefix", "the animal is "}});
  REQUIRE((*result)["text"] == "beta");
  REQUIRE(host.call("ai.complete", {{"prefix", "x"}, {"workspace", one.name()}}).error().kind == ErrorKind::not_found);
  host.stop();
}

TEST_CASE(
    "ai index: workspaces beyond those that can be learned are said: in an event, by ai.models, to who names one") {
  std::vector<Folder> folders(17);
  std::vector<std::string> names;
  for (const auto& folder : folders) names.push_back(folder.name());
  TestHost host(ai_test::kPlugin, serving(names));
  const auto is_last = [&](const json& entry) {
    return entry.value("workspace", "") == names.back() &&
           entry.value("refused", "").find("16 other workspaces are") != std::string::npos;
  };
  json told = json::object();
  while (!is_last(told)) told = host.event("ai.index.progress").payload;
  const auto models = host.call("ai.models");
  const auto& listed = (*models)["models"][0]["workspaces"];
  REQUIRE(listed.size() == 17);
  REQUIRE(std::count_if(listed.begin(), listed.end(), is_last) == 1);
  const auto named = host.call("ai.complete", {{"prefix", "x"}, {"workspace", names.back()}});
  REQUIRE(named.error().message.find("16 other workspaces are") != std::string::npos);
  names.erase(names.begin());
  host.reconfigure(serving(names));
  (void)learned(host, names.back());
  host.stop();
}

TEST_CASE("ai index: a workspace over its token limit is learned in part, and that is told") {
  const Folder folder;
  for (int i = 0; i < 10; ++i) {
    std::string text;
    for (int k = 0; k < 150; ++k) text += "word" + std::to_string(k) + (k % 10 == 9 ? "\n" : " ");
    folder.write("f" + std::to_string(i), text);
  }
  TestHost host(ai_test::kPlugin, serving({folder.name()}, {{"embedded", {{"max_tokens", 1000}}}}));
  const json last = learned(host, folder.name());
  REQUIRE(last["truncated"] == true);
  REQUIRE(last["tokens"].get<int>() <= 1000);
  REQUIRE(last["files"].get<int>() >= 4);
  host.stop();
}

TEST_CASE("ai index: stopping does not wait for a large workspace to be learned") {
  TestHost host(ai_test::kPlugin, serving({"/usr/include"}));
  (void)host.event("ai.index.progress");
  host.stop();
  for (const auto& event : host.events()) {
    CAPTURE(event.payload);
    REQUIRE(event.payload.value("done", false) == false);
  }
}

TEST_CASE("ai.chat: the embedded model continues the last message's text, and counts tokens") {
  const Folder folder;
  folder.write("f.txt", "once upon a time there was a host\nand it served\n");
  TestHost host(ai_test::kPlugin, serving({folder.name()}));
  (void)learned(host, folder.name());
  const json params{{"messages", {{{"role", "user"}, {"content", "once upon a time "}}}}, {"max_tokens", 5}};
  const auto result = host.call("ai.chat", params);
  REQUIRE(result);
  REQUIRE((*result)["message"] == json{{"role", "assistant"}, {"content", "there was a host\n"}});
  REQUIRE((*result)["finish_reason"] == "length");
  REQUIRE((*result)["usage"] == json{{"prompt_tokens", 4}, {"completion_tokens", 5}, {"total_tokens", 9}});
  host.stop();
}

TEST_CASE("ai provider: the embedded model stands in when the provider is down") {
  const Folder folder;
  folder.write("f.txt", "the animal is alpha\n");
  json config = ai_test::config("http://127.0.0.1:" + std::to_string(fault::refused_port()) + "/v1", json::object(), 0);
  config["settings"]["models"]["m"]["fallback"] = {"embedded"};
  config["workspaces"] = {folder.name()};
  TestHost host(ai_test::kPlugin, config);
  (void)learned(host, folder.name());
  const auto result = host.call("ai.complete", {{"prefix", "the animal is "}});
  REQUIRE(result);
  REQUIRE((*result)["text"] == "alpha");
  REQUIRE((*result)["model"] == "embedded");
  host.stop();
}
