// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "ai_test_support.hpp"
#include "config.hpp"
#include "keys.hpp"

using namespace gantry;
using namespace gantry::ai;

namespace {

std::string mistake(const json& settings, const json& async = json::object()) {
  PluginConfig config;
  config.settings = settings;
  config.async = async;
  const auto parsed = AiConfig::parse(config);
  return parsed ? "" : parsed.error().message;
}

json provider(json members) { return {{"providers", {{"p", std::move(members)}}}}; }

// The key, waiting for a command.
Result<std::string> key(KeySource::Kind kind, const std::string& value) {
  Mutex mutex;
  CondVar woken;
  bool ready = false;
  KeyRing ring([&] {
    Lock lock(mutex);
    ready = true;
    woken.notify_all();
  });
  const KeySource source{kind, value};
  while (true) {
    if (auto got = ring.get(source)) return *got;
    Lock lock(mutex);
    while (!ready) woken.wait(mutex);
  }
}

}  // namespace

TEST_CASE("ai config: nothing but defaults is a whole configuration") {
  const auto parsed = AiConfig::parse(PluginConfig{});
  REQUIRE(parsed);
  REQUIRE((*parsed)->max_concurrent == 4);
  REQUIRE((*parsed)->timeout == std::chrono::seconds(30));
  const auto chain = (*parsed)->chain("");
  REQUIRE(chain);
  REQUIRE(chain->size() == 1);
  REQUIRE(chain->front().model == "embedded");
}

TEST_CASE("ai config: a project's default model holds in its workspace alone") {
  PluginConfig config;
  config.settings = {{"models", {{"fast", {{"provider", "embedded"}}}}}};
  config.workspace_settings["/mine"] = {{"default_model", "fast"}};
  config.workspace_settings["/wrong"] = {{"default_model", "gone"}};
  const auto parsed = AiConfig::parse(config).value();
  REQUIRE(parsed->chain("", "/mine")->front().model == "fast");
  REQUIRE(parsed->chain("embedded", "/mine")->front().model == "embedded");
  for (const char* elsewhere : {"", "/other", "/wrong"})
    REQUIRE(parsed->chain("", elsewhere)->front().model == "embedded");
}

TEST_CASE("ai config: a mistake names its key and the nearest one that is known") {
  const json openai{{"kind", "openai"}, {"base_url", "http://h/v1"}};
  REQUIRE(mistake(provider({{"kind", "anthropic"}})).find("ai.providers.p.kind is \"anthropic\"") == 0);
  REQUIRE(mistake(provider({{"kind", "openai"}})).find("ai.providers.p.base_url is missing") == 0);
  REQUIRE(mistake(provider({{"kind", "openai"}, {"base_url", "ftp://h"}})).find("ai.providers.p.base_url must begin") ==
          0);
  REQUIRE(mistake(provider({{"kind", "openai"}, {"base_url", "http://user:pw@h/v1"}})).find("must not hold a user") !=
          std::string::npos);
  REQUIRE(mistake({{"default_modle", "x"}}).find("did you mean \"default_model\"?") != std::string::npos);
  REQUIRE(mistake({{"default_model", "embeded"}}).find("did you mean \"embedded\"?") != std::string::npos);
  REQUIRE(mistake({{"default_model", 3}}) == "ai.default_model must be a string");
  REQUIRE(mistake({{"models", {{"m", {{"provider", "q"}}}}}, {"providers", {{"p", openai}}}})
              .find("ai.models.m.provider") == 0);
  REQUIRE(
      mistake({{"models", {{"embedded", {{"provider", "p"}}}}}, {"providers", {{"p", openai}}}}).find("is built in") !=
      std::string::npos);
  REQUIRE(mistake({{"models", {{"m", {{"provider", "p"}, {"fallback", {"x"}}}}}}, {"providers", {{"p", openai}}}})
              .find("ai.models.m.fallback names \"x\"") == 0);
  REQUIRE(mistake(provider({{"kind", "openai"}, {"base_url", "http://h"}, {"api_key_env", "A"}, {"api_key_file", "B"}}))
              .find("second source") != std::string::npos);
  REQUIRE(
      mistake(json::object(), {{"max_concurrent_ai_requests", 0}}).find("async.max_concurrent_ai_requests must be") ==
      0);
  REQUIRE(mistake(json::object(), {{"ai_request_timeout_seconds", "30"}})
              .find("async.ai_request_timeout_seconds must be") == 0);
  REQUIRE(mistake(json::object(), {{"max_concurrent_lsp_requests", "not ours"}}).empty());
}

TEST_CASE("ai config: a chain of fallbacks holds each model once, also when they name each other") {
  PluginConfig config;
  config.settings = {{"default_model", "a"},
                     {"providers", {{"p", {{"kind", "openai"}, {"base_url", "http://h/v1/"}}}}},
                     {"models",
                      {{"a", {{"provider", "p"}, {"fallback", {"b"}}}},
                       {"b", {{"provider", "p"}, {"model", "bee"}, {"fallback", {"a", "embedded"}}}}}}};
  const auto parsed = AiConfig::parse(config);
  REQUIRE(parsed);
  const auto chain = (*parsed)->chain("");
  REQUIRE(chain->size() == 3);
  REQUIRE((*chain)[0].upstream == "a");
  REQUIRE((*chain)[1].upstream == "bee");
  REQUIRE((*chain)[2].model == "embedded");
  REQUIRE((*chain)[0].provider->base_url == "http://h/v1");
  REQUIRE((*parsed)->chain("c").error().kind == ErrorKind::not_found);
}

TEST_CASE("ai config: an impossible one keeps the plugin from starting and says why") {
  testing::TestHost host(ai_test::kPlugin, {{"settings", provider({{"kind", "ollama"}})}});
  REQUIRE(host.started() != 0);
  REQUIRE(host.log().find("ai.providers.p.kind") != std::string::npos);
}

TEST_CASE("ai keys: come from a variable, a private file or a command, and else say what to do") {
  const ai_test::Folder folder;
  folder.write("key", "sk-file\n");
  const std::string file = (folder.path() / "key").string();
  std::filesystem::permissions(file, std::filesystem::perms(0644));
  REQUIRE(key(KeySource::Kind::file, file).error().message.find("chmod 600") != std::string::npos);
  std::filesystem::permissions(file, std::filesystem::perms(0600));
  REQUIRE(key(KeySource::Kind::file, file) == "sk-file");
  REQUIRE(key(KeySource::Kind::none, "") == "");
  REQUIRE(::setenv("GANTRY_TEST_KEY", "sk-env", 1) == 0);
  REQUIRE(key(KeySource::Kind::environment, "GANTRY_TEST_KEY") == "sk-env");
  REQUIRE(::unsetenv("GANTRY_TEST_KEY") == 0);
  REQUIRE(key(KeySource::Kind::environment, "GANTRY_TEST_KEY").error().kind == ErrorKind::unavailable);
  REQUIRE(key(KeySource::Kind::command, "echo sk-command; echo second line") == "sk-command");
  REQUIRE(key(KeySource::Kind::command, "exit 3").error().message.find("exit status 3") != std::string::npos);
  REQUIRE(key(KeySource::Kind::command, "printf 'a b'").error().message.find("cannot carry") != std::string::npos);
}

TEST_CASE("ai keys: a command that never ends is ended with the ring") {
  KeyRing ring([] {});
  REQUIRE(!ring.get(KeySource{KeySource::Kind::command, "sleep 1000"}));
}
