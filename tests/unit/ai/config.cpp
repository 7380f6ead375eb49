// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "plugins/ai/config.hpp"
#include "plugins/ai/keys.hpp"
#include "tests/unit/ai/support.hpp"

using namespace gantry;
using namespace gantry::ai;

namespace {

std::string error_of(const json& settings, const json& async = json::object()) {
  PluginConfig config;
  config.settings = settings;
  config.async = async;
  const auto parsed = AiConfig::parse(config);
  return parsed ? "" : parsed.error().message;
}

json provider(json members) { return {{"providers", {{"p", std::move(members)}}}}; }

ProviderConfig with_key(KeySource::Kind kind, const std::string& value) {
  ProviderConfig out;
  out.name = "p";
  out.key = {kind, value};
  return out;
}

// The key of one whose command the host has run at once, if it has one.
Result<std::string> key(KeySource::Kind kind, const std::string& value) {
  KeyRing ring([&](const std::string&, const auto& done) { done(value); }, [] {});
  const auto provider = with_key(kind, value);
  auto got = ring.get(provider, false);
  // Also who has the command run waits for it, however soon it answers: so it is known whose keys are new.
  REQUIRE(got.has_value() == (kind != KeySource::Kind::command));
  if (!got) got = ring.get(provider, true);
  if (!*got) return std::unexpected(got->error());
  return (*got)->text;
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
  for (const char* elsewhere : {"", "/other", "/wrong"}) {
    CAPTURE(elsewhere);
    REQUIRE(parsed->chain("", elsewhere)->front().model == "embedded");
  }
}

TEST_CASE("ai config: an error names its key and the nearest one that is known") {
  const json openai{{"kind", "openai"}, {"base_url", "http://h/v1"}};
  REQUIRE(error_of(provider({{"kind", "anthropic"}})).find("ai.providers.p.kind is \"anthropic\"") == 0);
  REQUIRE(error_of(provider({{"kind", "openai"}})).find("ai.providers.p.base_url is missing") == 0);
  REQUIRE(
      error_of(provider({{"kind", "openai"}, {"base_url", "ftp://h"}})).find("ai.providers.p.base_url must begin") ==
      0);
  REQUIRE(error_of(provider({{"kind", "openai"}, {"base_url", "http://user:pw@h/v1"}})).find("must not hold a user") !=
          std::string::npos);
  REQUIRE(error_of({{"default_modle", "x"}}).find("did you mean \"default_model\"?") != std::string::npos);
  REQUIRE(error_of({{"default_model", "embeded"}}).find("did you mean \"embedded\"?") != std::string::npos);
  REQUIRE(error_of({{"default_model", 3}}) == "ai.default_model must be a string");
  REQUIRE(error_of({{"models", {{"m", {{"provider", "q"}}}}}, {"providers", {{"p", openai}}}})
              .find("ai.models.m.provider") == 0);
  REQUIRE(
      error_of({{"models", {{"embedded", {{"provider", "p"}}}}}, {"providers", {{"p", openai}}}}).find("is built in") !=
      std::string::npos);
  REQUIRE(error_of({{"models", {{"m", {{"provider", "p"}, {"fallback", {"x"}}}}}}, {"providers", {{"p", openai}}}})
              .find("ai.models.m.fallback names \"x\"") == 0);
  REQUIRE(
      error_of(provider({{"kind", "openai"}, {"base_url", "http://h"}, {"api_key_env", "A"}, {"api_key_file", "B"}}))
          .find("second source") != std::string::npos);
  REQUIRE(
      error_of(json::object(), {{"max_concurrent_ai_requests", 0}}).find("async.max_concurrent_ai_requests must be") ==
      0);
  REQUIRE(error_of(json::object(), {{"ai_request_timeout_seconds", "30"}})
              .find("async.ai_request_timeout_seconds must be") == 0);
  REQUIRE(error_of(json::object(), {{"max_concurrent_lsp_requests", "not ours"}}).empty());
}

TEST_CASE("ai config: a base URL is read by the parser that asks it, and an endpoint's path behind it is refused") {
  const auto url = [](const std::string& text) { return error_of(provider({{"kind", "openai"}, {"base_url", text}})); };
  for (const char* good : {"http://h", "HTTPS://h:443/v1/", "http://[::1]:8080/v1", "http://127.0.0.1/a%20b"}) {
    CAPTURE(good);
    REQUIRE(url(good).empty());
  }
  for (const char* bad :
       {"http://", "http://h:port/v1", "http://h:65536/v1", "http://[::1/v1", "http://h h/v1", "http://h/\tv1"}) {
    INFO(bad);
    REQUIRE(url(bad).find("ai.providers.p.base_url is no URL: ") == 0);
  }
  for (const char* bad : {"h/v1", "ftp://h/v1", "file:///v1"}) {
    CAPTURE(bad);
    REQUIRE(url(bad).find("must begin with http") != std::string::npos);
  }
  for (const char* bad : {"http://u@h/v1", "http://:p@h/v1", "http://h/v1?k=1", "http://h/v1#f"}) {
    CAPTURE(bad);
    REQUIRE(url(bad).find("must not hold a user, a query or a fragment") != std::string::npos);
  }
  for (const char* path : {"/chat/completions", "/completions/", "/responses", "/embeddings", "/messages"}) {
    CAPTURE(path);
    REQUIRE(url(std::string("http://h/v1") + path).find("write \"http://h/v1\"") != std::string::npos);
  }
}

TEST_CASE("ai config: members that are not sent are named by a list, and never hold the question itself") {
  const auto omit = [](const json& names) {
    return error_of(provider({{"kind", "openai"}, {"base_url", "http://h"}, {"omit", names}}));
  };
  REQUIRE(omit({"stream_options", "temperature"}).empty());
  REQUIRE(omit("stream_options") == "ai.providers.p.omit must be an array of strings");
  REQUIRE(omit({"prompt"}) == "ai.providers.p.omit must not hold \"prompt\"");
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
  REQUIRE(key(KeySource::Kind::file, file).error().message ==
          "the key file " + file + " is open to other users; run: chmod 600 " + file +
              ", or, where that cannot be changed, api_key_command = \"cat " + file + "\"");
  std::filesystem::permissions(file, std::filesystem::perms(0600));
  REQUIRE(key(KeySource::Kind::file, file) == "sk-file");
  REQUIRE(key(KeySource::Kind::none, "") == "");
  REQUIRE(::setenv("GANTRY_TEST_KEY", "sk-env", 1) == 0);
  REQUIRE(key(KeySource::Kind::environment, "GANTRY_TEST_KEY") == "sk-env");
  REQUIRE(::unsetenv("GANTRY_TEST_KEY") == 0);
  const auto unset = key(KeySource::Kind::environment, "GANTRY_TEST_KEY");
  REQUIRE(unset.error().kind == ErrorKind::unavailable);
  REQUIRE(
      unset.error().message ==
      "the environment variable GANTRY_TEST_KEY, which should hold the key, is not set in the host's environment, "
      "which is that of whoever started it; set it there and restart the host (`gantry stop`), or use api_key_file");
  REQUIRE(key(KeySource::Kind::command, " sk-command \nsecond line") == "sk-command");
  REQUIRE(key(KeySource::Kind::command, "").error().message.find("is empty") != std::string::npos);
  REQUIRE(key(KeySource::Kind::command, "a b").error().message.find("cannot carry") != std::string::npos);
}

TEST_CASE("ai keys: the host is asked once while it answers, and again after a failure, a refusal or another command") {
  std::vector<std::function<void(Result<std::string>)>> asked;
  int woken = 0;
  KeyRing ring([&](const std::string&, auto done) { asked.push_back(std::move(done)); }, [&] { ++woken; });
  const auto provider = with_key(KeySource::Kind::command, "one");
  REQUIRE_FALSE(ring.get(provider, false));
  REQUIRE_FALSE(ring.get(provider, false));
  REQUIRE(asked.size() == 1);
  asked.back()(fail(ErrorKind::unavailable, "exit status 3"));
  REQUIRE(woken == 1);
  for (int waiting = 0; waiting < 2; ++waiting) REQUIRE(ring.get(provider, true)->error().message == "exit status 3");
  REQUIRE_FALSE(ring.get(provider, false));
  REQUIRE(asked.size() == 2);
  asked.back()("k1");
  const Key first = ring.get(provider, true)->value();
  REQUIRE(first.text == "k1");
  REQUIRE(ring.get(provider, false)->value().text == "k1");
  REQUIRE(asked.size() == 2);
  ring.forget(provider, first.run);
  REQUIRE_FALSE(ring.get(provider, false));
  ring.forget(provider, first.run);
  REQUIRE_FALSE(ring.get(provider, false));
  REQUIRE(asked.size() == 3);
  asked.back()("k2");
  ring.forget(provider, first.run);
  REQUIRE(ring.get(provider, false)->value().text == "k2");
  const auto other = with_key(KeySource::Kind::command, "two");
  REQUIRE_FALSE(ring.get(other, false));
  asked.back()("k3");
  asked.front()("too late");
  REQUIRE(ring.get(other, true)->value().text == "k3");
  REQUIRE(asked.size() == 4);
  ring.forget_all();
  REQUIRE_FALSE(ring.get(other, false));
  ring.forget_all();
  REQUIRE_FALSE(ring.get(other, false));
  REQUIRE(asked.size() == 5);
}
