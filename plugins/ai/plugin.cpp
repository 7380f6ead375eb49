// SPDX-License-Identifier: Apache-2.0
//
// plugin.cpp: the ai plugin: what it declares, and from a call's params to a job.
//
// Thread rule: everything here runs serially. Work happens on two threads that the plugin owns: the ModelManager's
// worker and the WorkspaceIndex's; both report back by Host::post or Host::publish. stop() answers what is open, then
// joins both.
#include <cmath>
#include <gantry/params.hpp>
#include <gantry/plugin.hpp>
#include <gantry/version.hpp>
#include <optional>

#include "plugins/ai/config.hpp"
#include "plugins/ai/dispatcher.hpp"
#include "plugins/ai/embedded/workspace_index.hpp"
#include "plugins/ai/keys.hpp"
#include "plugins/ai/model_manager.hpp"
#include "plugins/ai/provider_words.hpp"

namespace gantry::ai {

namespace {

constexpr std::int64_t kMaxTokensLimit = 1'000'000;
constexpr std::size_t kMaxStops = 16;

json complete_params() {
  return json::parse(R"({"type":"object","required":["prefix"],"additionalProperties":false,"properties":{
    "prefix":{"type":"string","description":"the text before the cursor"},
    "suffix":{"type":"string","description":"the text behind the cursor"},
    "path":{"type":"string","description":"the file; tells the workspace when nothing else does"},
    "language":{"type":"string","description":"a hint"},
    "max_tokens":{"type":["integer","null"],"minimum":1,"maximum":1000000},
    "stop":{"type":["string","array","null"],"items":{"type":"string"},"description":"texts before which the answer ends"},
    "temperature":{"type":["number","null"]},"stream":{"type":["boolean","null"]},
    "model":{"type":["string","null"]},"workspace":{"type":["string","null"]}}})");
}
json complete_result() {
  return json::parse(R"({"type":"object","required":["text","model","finish_reason"],"properties":{
    "text":{"type":"string"},"model":{"type":"string"},"finish_reason":{"type":["string","null"]},
    "confidence":{"type":"number","minimum":0,"maximum":1},
    "ready":{"type":"boolean","description":"embedded model: the whole workspace was learned"},"usage":{}}})");
}
json chat_params() {
  return json::parse(R"({"type":"object","required":["messages"],"properties":{
    "messages":{"type":"array","minItems":1,"items":{"type":"object","required":["role"]}},
    "model":{"type":["string","null"]},"max_tokens":{"type":["integer","null"],"minimum":1,"maximum":1000000},
    "stop":{"type":["string","array","null"],"items":{"type":"string"},"description":"texts before which the answer ends"},
    "temperature":{"type":["number","null"]},"stream":{"type":["boolean","null"]},"workspace":{"type":["string","null"]}},
    "description":"further members are passed to the provider as they are, in their order; those that are null are left out"})");
}
json chat_result() {
  return json::parse(R"({"type":"object","required":["message","model","finish_reason","usage"],"properties":{
    "message":{"type":"object","required":["role","content"],"properties":{
      "content_parts":{"type":"array","description":"what was no text of a content that came in parts"}}},
    "model":{"type":"string"},"finish_reason":{"type":["string","null"]},"usage":{"type":["object","null"]},
    "logprobs":{"description":"when they were asked for; those of a stream are in its items"}}})");
}
json models_result() {
  return json::parse(R"({"type":"object","required":["models"],"properties":{"models":{"type":"array","items":{
    "type":"object","required":["name","provider","ready","default"]}}}})");
}

// What must hold of `messages`, or a description of what does not.
std::string message_error(const json& messages) {
  if (messages.empty()) return "messages is empty; it must hold at least one message";
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const std::string at = "messages[" + std::to_string(i) + "]";
    const json& message = messages[i];
    if (!message.is_object()) return at + " must be an object {role, content}";
    if (!message.contains("role") || !message["role"].is_string()) return at + ".role must be a string";
    const json content = message.value("content", json());
    if (!content.is_null() && !content.is_string() && !content.is_array()) {
      return at + ".content must be a string, an array of parts or null";
    }
  }
  return {};
}

// What the last message says: a string, or the text parts of an array.
std::string last_text(const json& messages) {
  if (messages.empty() || !messages.back().is_object() || !messages.back().contains("content")) return {};
  const json& content = messages.back()["content"];
  if (content.is_string()) return content.get<std::string>();
  std::string text;
  if (content.is_array()) {
    for (const auto& part : content) {
      if (part.is_object() && part.contains("text") && part["text"].is_string())
        text += part["text"].get<std::string>();
    }
  }
  return text;
}

}  // namespace

class Ai {
 public:
  explicit Ai(Host host) : host_(std::move(host)) {}

  Result<void> start(const PluginConfig& config) {
    auto parsed = AiConfig::parse(config);
    if (!parsed) return std::unexpected(parsed.error());
    config_ = *parsed;
    manager_ = std::make_unique<ModelManager>(
        [host = host_](Level level, const std::string& line) { host.log(level, line); }, run_key_command());
    dispatcher_ = std::make_unique<Dispatcher>(host_, *manager_);
    dispatcher_->configure(config_);
    index_ = std::make_unique<WorkspaceIndex>(hooks());
    warn();
    index_->set_workspaces(config.workspaces, config_->embedded_max_tokens);
    return {};
  }

  void reconfigure(const PluginConfig& config) {
    manager_->forget_keys();
    auto parsed = AiConfig::parse(config);
    if (parsed) {
      config_ = *parsed;
      dispatcher_->configure(config_);
      warn();
    } else {
      host_.log(Level::error, "the configuration before stays in force: " + parsed.error().message);
    }
    index_->set_workspaces(config.workspaces, config_->embedded_max_tokens);
  }

  void gone(std::uint64_t origin) { dispatcher_->gone(origin); }

  void stop(Stopping stopping) {
    dispatcher_->cancel_all("the ai plugin is stopping");
    manager_->shutdown();
    index_->stop();
    const Stopping last = std::move(stopping);
  }

  void complete(Call call) {
    const json document = call.params();
    Params params(document);
    auto job = std::make_shared<Job>();
    job->kind = Job::Kind::complete;
    job->stream = call.is_stream();
    job->prefix = params.string("prefix");
    job->suffix = params.string_or("suffix", "");
    const std::string path = params.string_or("path", "");
    (void)params.maybe_string("language");
    job->max_tokens = max_tokens(params);
    json given = json::object();
    std::vector<Member> options;
    for (const char* name : {"stop", "temperature", "stream"}) {
      given[name] = params.maybe_value(name).value_or(json());
      options.push_back(Member{name, dump_json(given[name])});
    }
    take_options(params, *job, given, std::move(options));
    const std::string model = params.string_or("model", "");
    const auto workspace = params.maybe_string("workspace");
    if (auto ok = params.done(); !ok) return call.reply_error(ok.error());
    submit(std::move(call), std::move(job), model, workspace, path);
  }

  void chat(Call call) {
    const json document = call.params();
    auto job = std::make_shared<Job>();
    job->kind = Job::Kind::chat;
    job->stream = call.is_stream();
    json known = json::object();
    std::vector<Member> options;
    const bool given = document.is_object() && !document.empty();
    for (auto& one : given ? members_of(call.raw_params()) : std::vector<Member>()) {
      const std::string& name = one.name;
      const bool ours = name == "messages" || name == "model" || name == "max_tokens" || name == "workspace";
      if (ours) known[name] = document[name];
      if (name == "messages") job->messages = std::move(one.text);
      if (!ours && name != "_meta") options.push_back(std::move(one));
    }
    Params params(known);
    const json messages = params.array("messages");
    job->max_tokens = max_tokens(params);
    const std::string model = params.string_or("model", "");
    const auto workspace = params.maybe_string("workspace");
    if (known.contains("messages") && known["messages"].is_array()) {
      const std::string wrong = message_error(messages);
      params.require(wrong.empty(), wrong);
    }
    job->prefix = last_text(messages);
    take_options(params, *job, document, std::move(options));
    if (auto ok = params.done(); !ok) return call.reply_error(ok.error());
    submit(std::move(call), std::move(job), model, workspace, "");
  }

  Result<json> models(Call& call) {
    Params params(call.params());
    if (auto ok = params.done(); !ok) return std::unexpected(ok.error());
    json list = json::array();
    for (const auto& [name, model] : config_->models) {
      json entry{{"name", name},
                 {"provider", model.provider->name},
                 {"default", name == config_->default_model},
                 {"ready", true}};
      if (!model.fallback.empty()) entry["fallback"] = model.fallback;
      if (model.provider->kind == ProviderKind::embedded) {
        entry["workspaces"] = workspaces();
      } else {
        entry["model"] = model.upstream;
        if (const auto key = key_available(model.provider->key); !key) {
          entry["ready"] = false;
          entry["reason"] = key.error().message;
        }
      }
      list.push_back(std::move(entry));
    }
    return json{{"models", std::move(list)}};
  }

  static void define(Definition<Ai>& d) {
    d.id("ai")
        .version(std::string(gantry::kVersion))
        .service("ai")
        .settings("ai")
        .publishes("ai.**")
        .activation("workspace");
    d.grant("network").grant("read:workspace");
    d.summary("Models: one embedded that learns the workspace, and any OpenAI-compatible server");
    d.method("ai.complete", &Ai::complete,
             {.summary = "Says how the text at the cursor goes on. Stream items: {text}",
              .params = complete_params(),
              .result = complete_result(),
              .stream = true,
              .keeps_time = true});
    d.method(
        "ai.chat", &Ai::chat,
        {.summary = "Answers messages; the embedded model continues the text of the last one. Stream items: "
                    "{delta, finish_reason?, logprobs?}",
         .params = chat_params(),
         .result = chat_result(),
         .stream = true,
         .keeps_time = true,
         .tool = Tool{.title = "Ask a model",
                      .description = "Asks a model that this host knows (ai_models lists them) and gives its answer",
                      .destructive = false}});
    d.method("ai.models", &Ai::models,
             {.summary = "The models that requests can name",
              .params = json{{"type", "object"}, {"additionalProperties", false}},
              .result = models_result(),
              .idempotent = true,
              .tool = Tool{.title = "Models", .read_only = true, .idempotent = true, .open_world = false}});
  }

 private:
  [[nodiscard]] static std::optional<std::size_t> max_tokens(Params& params) {
    const auto tokens = params.maybe_integer("max_tokens", 1, kMaxTokensLimit);
    return tokens ? std::optional<std::size_t>(static_cast<std::size_t>(*tokens)) : std::nullopt;
  }

  // Of what is passed on, only what would change the shape of the answer is looked at, and `stop`, which the embedded
  // model heeds as well. What is null is left out.
  static void take_options(Params& params, Job& job, const json& given, std::vector<Member> options) {
    std::erase_if(options, [](const Member& option) { return option.text == "null" || option.name == "stream"; });
    job.options = std::move(options);
    const json& stream = member(given, "stream");
    params.require(stream.is_null() || stream.is_boolean(), "stream must be true or false");
    params.require(stream != true || job.stream, "stream is no parameter; open the call as a stream with _meta.stream");
    const json& n = member(given, "n");
    params.require(n.is_null() || n == 1, "n must be 1: there is one answer to a call");
    const json& temperature = member(given, "temperature");
    params.require(temperature.is_null() || temperature.is_number(), "temperature must be a number");
    const json& stop = member(given, "stop");
    const json stops = stop.is_array() ? stop : stop.is_null() ? json::array() : json::array({stop});
    params.require(stops.size() <= kMaxStops, "stop must hold at most 16 texts");
    for (const auto& text : stops) {
      params.require(text.is_string(), "stop must be a string or an array of strings");
      if (text.is_string() && !text.get_ref<const std::string&>().empty()) job.stop.push_back(text);
    }
  }

  void submit(Call call, std::shared_ptr<Job> job, const std::string& model,
              const std::optional<std::string>& workspace, const std::string& path) {
    auto folder = workspace_of(call, workspace, path);
    if (!folder) return call.reply_error(folder.error());
    auto targets = config_->chain(model, *folder);
    if (!targets) return call.reply_error(targets.error());
    job->learned = index_->find(*folder);
    dispatcher_->submit(std::move(call), std::move(job), std::move(*targets));
  }

  // The one named, else the caller's, else the one that holds the file, else the only one. Empty: none.
  [[nodiscard]] Result<std::string> workspace_of(const Call& call, const std::optional<std::string>& named,
                                                 const std::string& path) const {
    if (named) {
      std::string folder = index_->around(*named);
      if (folder.empty()) {
        for (const auto& progress : index_->list()) {
          if (progress.workspace == *named) return fail(ErrorKind::not_found, *named + " is " + progress.refused);
        }
        return fail(ErrorKind::not_found,
                    "workspace \"" + named->substr(0, 200) +
                        "\" is not known; name it in host.hello, or one of ai.models' workspaces");
      }
      return folder;
    }
    if (const auto origin = host_.origin(call.origin()); origin && !origin->workspace.empty()) {
      if (auto folder = index_->around(origin->workspace); !folder.empty()) return folder;
    }
    if (!path.empty()) {
      if (auto folder = index_->around(path); !folder.empty()) return folder;
    }
    const auto all = index_->list();
    return all.size() == 1 ? all.front().workspace : std::string();
  }

  [[nodiscard]] json workspaces() const {
    json list = json::array();
    for (const auto& progress : index_->list()) list.push_back(shown(progress));
    return list;
  }

  [[nodiscard]] static json shown(const IndexProgress& progress) {
    json out{{"workspace", progress.workspace}, {"files", progress.files},         {"tokens", progress.tokens},
             {"skipped", progress.skipped},     {"truncated", progress.truncated}, {"done", progress.done},
             {"seconds", progress.seconds}};
    if (!progress.refused.empty()) out["refused"] = progress.refused;
    return out;
  }

  [[nodiscard]] WorkspaceIndex::Hooks hooks() const {
    WorkspaceIndex::Hooks hooks;
    hooks.now = [host = host_] { return host.now(); };
    hooks.log = [host = host_](Level level, const std::string& line) { host.log(level, line); };
    hooks.progress = [host = host_](const IndexProgress& progress) {
      if (auto sent = host.publish("ai.index.progress", shown(progress)); !sent && progress.done) {
        host.log(Level::warn,
                 "the end of learning " + progress.workspace + " was not announced: " + sent.error().message);
      }
    };
    return hooks;
  }

  // The host does it: a plugin in a process of its own starts none.
  [[nodiscard]] RunKeyCommand run_key_command() const {
    return [host = host_](const std::string& provider, std::function<void(Result<std::string>)> done) {
      const auto told = std::make_shared<std::function<void(Result<std::string>)>>(std::move(done));
      auto asked = host.call("config.secret", {{"provider", provider}}, {}, [told](Result<CallAnswer> answer) {
        (*told)(answer ? Result<std::string>(answer->value.value("secret", ""))
                       : std::unexpected(std::move(answer.error())));
      });
      if (!asked) (*told)(std::unexpected(asked.error()));
    };
  }

  // What is allowed, but will not work.
  void warn() const {
    for (const auto& [name, provider] : config_->providers) {
      if (const auto key = key_available(provider->key); !key) {
        host_.log(Level::warn, "provider \"" + name + "\" cannot be used yet: " + key.error().message);
      }
    }
  }

  Host host_;
  std::shared_ptr<const AiConfig> config_;
  std::unique_ptr<ModelManager> manager_;
  std::unique_ptr<Dispatcher> dispatcher_;
  std::unique_ptr<WorkspaceIndex> index_;
};

}  // namespace gantry::ai

GANTRY_PLUGIN(gantry::ai::Ai)
