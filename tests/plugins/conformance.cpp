// SPDX-License-Identifier: Apache-2.0
//
// What the conformance suite of MCP calls: tools, resources and prompts of the names that it knows. It is no part of
// the product.
#include <gantry/plugin.hpp>
#include <gantry/plugin/agent_input.hpp>

namespace {

using namespace gantry;

// A red pixel, and a WAV file without a sample.
constexpr const char* kImage =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
constexpr const char* kAudio = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=";

json text(const std::string& words) { return {{"type", "text"}, {"text", words}}; }
json image() { return {{"type", "image"}, {"data", kImage}, {"mimeType", "image/png"}}; }
json audio() { return {{"type", "audio"}, {"data", kAudio}, {"mimeType", "audio/wav"}}; }
json embedded(const std::string& uri) {
  return {{"type", "resource"},
          {"resource", {{"uri", uri}, {"mimeType", "text/plain"}, {"text", "This is an embedded resource content."}}}};
}
json content(json parts) { return {{"content", std::move(parts)}}; }
json said(const std::string& words) { return content(json::array({text(words)})); }
json contents(const json& params, json what) {
  what["uri"] = params["uri"];
  return {{"contents", json::array({std::move(what)})}};
}
json messages(json parts) {
  json out = json::array();
  for (auto& part : parts) out.push_back({{"role", "user"}, {"content", std::move(part)}});
  return {{"messages", std::move(out)}};
}

json object(json properties = json::object(), json required = json::array()) {
  return {{"type", "object"}, {"properties", std::move(properties)}, {"required", std::move(required)}};
}
json string_of(const char* what) { return {{"type", "string"}, {"description", what}}; }

json elicitation(const std::string& message, json schema) {
  return {{"method", "elicitation/create"}, {"params", {{"message", message}, {"requestedSchema", std::move(schema)}}}};
}
json form(const std::string& message, const char* field, const char* type = "string") {
  return elicitation(message, object({{field, {{"type", type}}}}, {field}));
}
json sampling(const std::string& prompt) {
  return {{"method", "sampling/createMessage"},
          {"params", {{"messages", json::array({{{"role", "user"}, {"content", text(prompt)}}})}, {"maxTokens", 100}}}};
}
json roots() { return {{"method", "roots/list"}, {"params", json::object()}}; }

/// A text in the form that the user has filled in; empty: it was not accepted.
std::string filled(const json& response, const char* field) {
  if (response.value("action", json()) != "accept") return {};
  return response.value("content", json::object()).value(field, "");
}

json schema_2020_12() {
  return json::parse(R"({
    "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
    "$defs": {"address": {"$anchor": "addressDef", "type": "object",
                          "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}},
    "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"},
                   "contactMethod": {"type": "string", "enum": ["phone", "email"]},
                   "phone": {"type": "string"}, "email": {"type": "string"}},
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]}, "else": {"required": ["email"]},
    "additionalProperties": false})");
}

json defaults_form() {
  return elicitation(
      "Please review the fields",
      object({{"name", {{"type", "string"}, {"default", "John Doe"}}},
              {"age", {{"type", "integer"}, {"default", 30}}},
              {"score", {{"type", "number"}, {"default", 95.5}}},
              {"status", {{"type", "string"}, {"enum", {"active", "inactive", "pending"}}, {"default", "active"}}},
              {"verified", {{"type", "boolean"}, {"default", true}}}}));
}

json titled(const char* value, const char* title) { return {{"const", value}, {"title", title}}; }
json enums_form() {
  const json options = json::array(
      {titled("value1", "First Option"), titled("value2", "Second Option"), titled("value3", "Third Option")});
  const json plain = {"option1", "option2", "option3"};
  return elicitation(
      "Please choose",
      object({{"untitledSingle", {{"type", "string"}, {"enum", plain}}},
              {"titledSingle", {{"type", "string"}, {"oneOf", options}}},
              {"legacyEnum",
               {{"type", "string"}, {"enum", {"opt1", "opt2", "opt3"}}, {"enumNames", {"One", "Two", "Three"}}}},
              {"untitledMulti", {{"type", "array"}, {"items", {{"type", "string"}, {"enum", plain}}}}},
              {"titledMulti", {{"type", "array"}, {"items", {{"anyOf", options}}}}}}));
}

class Conformance {
 public:
  explicit Conformance(Host host) : host_(std::move(host)) {}

  static void define(Definition<Conformance>& d) {
    d.id("conformance").version("1.0.0").service("conformance").publishes("conformance.**");
    define_tools(d);
    define_questions(d);
    define_resources(d);
    define_prompts(d);
  }

 private:
  using D = Definition<Conformance>;
  using Answer = Result<json>;

  template <class F>
  static void tool(D& d, const std::string& name, const char* what, F handler, MethodOptions options = {}) {
    options.summary = what;
    if (options.params.empty()) options.params = object();
    if (!options.tool) options.tool = Tool{.name = name, .read_only = true, .open_world = false, .content = true};
    d.method("conformance." + name, std::move(handler), std::move(options));
  }
  /// A tool that answers the same each time.
  static void constant(D& d, const std::string& name, const char* what, json answer) {
    tool(d, name, what, [answer](Conformance&, Call&) -> Answer { return answer; });
  }

  static void define_tools(D& d) {
    constant(d, "test_simple_text", "A text", said("This is a simple text response for testing."));
    constant(d, "test_image_content", "An image", content(json::array({image()})));
    constant(d, "test_audio_content", "A sound", content(json::array({audio()})));
    constant(d, "test_embedded_resource", "A resource", content(json::array({embedded("test://embedded-resource")})));
    constant(d, "test_multiple_content_types", "A text, an image and a resource",
             content(json::array(
                 {text("Multiple content types test:"), image(), embedded("test://mixed-content-resource")})));
    tool(d, "json_schema_2020_12_tool", "Takes what a schema with the whole vocabulary allows",
         [](Conformance&, Call&) -> Answer { return said("taken"); }, {.params = schema_2020_12()});
    tool(d, "test_error_handling", "Fails", [](Conformance&, Call&) -> Answer {
      return fail(ErrorKind::upstream_failed, "This tool intentionally returns an error for testing");
    });
    tool(d, "test_tool_with_progress", "Tells its progress", [](Conformance&, Call& call) -> Answer {
      for (const int done : {0, 50, 100}) call.progress("step " + std::to_string(done), done);
      return said("done");
    });
    const MethodOptions logs{.stream = true,
                             .tool = Tool{.name = "test_tool_with_logging", .content = true, .logs = true}};
    tool(d, "test_tool_with_logging", "Logs", &Conformance::logs, logs);
    tool(d, "test_logging_tool", "Logs", &Conformance::logs,
         {.stream = true, .tool = Tool{.name = "test_logging_tool", .content = true, .logs = true}});
    tool(d, "wait", "Waits until it is cancelled", &Conformance::wait);
  }
  static Answer logs(Conformance& /*self*/, Call& call) {
    for (const char* words : {"Tool execution started", "Tool processing data", "Tool execution completed"})
      (void)call.item({{"level", "info"}, {"data", words}, {"logger", "conformance"}});
    return said("logged");
  }
  void wait(Call call) {
    host_.log(Level::info, "waits until it is cancelled");
    auto held = std::make_shared<Call>(std::move(call));
    held->on_cancel([this, held] {
      host_.log(Level::info, "was cancelled");
      held->reply_error(Error{ErrorKind::cancelled, "cancelled", {}});
    });
  }

  /// A tool that asks one question, and says what was answered.
  template <class Ask, class Say>
  static void asks(D& d, const std::string& name, const char* key, Ask ask, Say say, const json& params = object()) {
    tool(d, name, "Asks its client",
         [key, ask, say](Conformance&, Call& call) -> Answer {
           const json given = call.params();
           const AgentInput input(given);
           const json* const response = input.response(key);
           const std::string words = response == nullptr ? "" : say(*response);
           return words.empty() ? AgentInput::ask({{key, ask(given)}}) : said(words);
         },
         {.params = params});
  }

  static void define_questions(D& d) {
    const auto whole = [](const char* before) {
      return [before](const json& response) {
        return before + response.value("action", "") + ", content=" + dump_json(response.value("content", json()));
      };
    };
    const auto sampled = [](const json& response) {
      const json part = response.value("content", json::object());
      return "LLM response: " + (part.is_object() ? part.value("text", "") : dump_json(part));
    };
    asks(
        d, "test_sampling", "answer", [](const json& p) { return sampling(p.value("prompt", "")); }, sampled,
        object({{"prompt", string_of("what to ask")}}, {"prompt"}));
    asks(d, "test_missing_capability", "answer", [](const json&) { return sampling("Hello?"); }, sampled);
    asks(
        d, "test_elicitation", "answer", [](const json& p) { return form(p.value("message", ""), "response"); },
        whole("User response: action="), object({{"message", string_of("what to say")}}, {"message"}));
    asks(
        d, "test_streaming_elicitation", "answer", [](const json&) { return form("Your answer?", "response"); },
        whole("User response: action="));
    asks(
        d, "test_elicitation_sep1034_defaults", "answer", [](const json&) { return defaults_form(); },
        whole("Elicitation completed: action="));
    asks(
        d, "test_elicitation_sep1330_enums", "answer", [](const json&) { return enums_form(); },
        whole("Elicitation completed: action="));
    asks(
        d, "test_input_required_result_elicitation", "user_name",
        [](const json&) { return form("What is your name?", "name"); },
        [](const json& response) { return "Hello, " + filled(response, "name") + "!"; });
    asks(
        d, "test_input_required_result_sampling", "capital_question",
        [](const json&) { return sampling("What is the capital of France?"); }, sampled);
    asks(
        d, "test_input_required_result_list_roots", "client_roots", [](const json&) { return roots(); },
        [](const json& response) { return "Roots: " + dump_json(response.value("roots", json::array())); });
    tool(d, "test_input_required_result_request_state", "Asks, with a state", &Conformance::with_state);
    tool(d, "test_input_required_result_tampered_state", "Asks, with a state", &Conformance::with_state);
    tool(d, "test_input_required_result_multiple_inputs", "Asks for three things", &Conformance::several);
    tool(d, "test_input_required_result_multi_round", "Asks twice", &Conformance::rounds);
    tool(d, "test_input_required_result_capabilities", "Asks what its client can answer", &Conformance::capable);
  }
  static Answer with_state(Conformance& /*self*/, Call& call) {
    const AgentInput input(call.params());
    if (input.response("confirm") == nullptr || input.state() != "asked")
      return AgentInput::ask({{"confirm", form("Please confirm", "ok", "boolean")}}, "asked");
    return said("state-ok");
  }
  static Answer several(Conformance& /*self*/, Call& call) {
    const AgentInput input(call.params());
    for (const char* key : {"user_name", "greeting", "client_roots"}) {
      if (input.response(key) == nullptr)
        return AgentInput::ask({{"user_name", form("What is your name?", "name")},
                                {"greeting", sampling("Generate a greeting")},
                                {"client_roots", roots()}},
                               "asked");
    }
    return said("Hello, " + filled(*input.response("user_name"), "name"));
  }
  // What was answered in the first round is the state of the second.
  static Answer rounds(Conformance& /*self*/, Call& call) {
    const AgentInput input(call.params());
    if (const json* const color = input.response("step2"); color != nullptr && !input.state().empty())
      return said(input.state() + " likes " + filled(*color, "color"));
    if (const json* const name = input.response("step1"))
      return AgentInput::ask({{"step2", form("Your favourite color?", "color")}}, filled(*name, "name"));
    return AgentInput::ask({{"step1", form("What is your name?", "name")}}, "begun");
  }
  static Answer capable(Conformance& /*self*/, Call& call) {
    const AgentInput input(call.params());
    json questions = json::object();
    if (input.capable("elicitation")) questions["name"] = form("What is your name?", "name");
    if (input.capable("sampling")) questions["greeting"] = sampling("Generate a greeting");
    if (questions.empty()) return said("This client cannot be asked");
    for (const auto& [key, question] : questions.items()) {
      if (input.response(key.c_str()) == nullptr) return AgentInput::ask(questions);
    }
    return said("asked");
  }

  template <class F>
  static void resource(D& d, const std::string& name, F handler, Resource what) {
    d.method("conformance." + name, std::move(handler),
             {.summary = "A resource", .params = {{"type", "object"}}, .resource = std::move(what)});
  }
  static void define_resources(D& d) {
    resource(d, "static_text",
             [](Conformance&, Call& call) -> Answer {
               return contents(call.params(),
                               {{"mimeType", "text/plain"}, {"text", "This is a static text resource."}});
             },
             {.uri = "test://static-text", .name = "Static text", .mime_type = "text/plain"});
    resource(d, "static_binary",
             [](Conformance&, Call& call) -> Answer {
               return contents(call.params(), {{"mimeType", "image/png"}, {"blob", kImage}});
             },
             {.uri = "test://static-binary", .name = "Static binary", .mime_type = "image/png"});
    resource(d, "template",
             [](Conformance&, Call& call) -> Answer {
               const json params = call.params();
               const json data{{"id", params["id"]}, {"data", "Data for ID: " + params["id"].get<std::string>()}};
               return contents(params, {{"mimeType", "application/json"}, {"text", dump_json(data)}});
             },
             {.uri_template = "test://template/{id}/data", .name = "Template", .mime_type = "application/json"});
    resource(d, "watched", &Conformance::watched,
             {.uri = "test://watched-resource", .name = "Watched", .changes = "conformance.changed"});
    tool(d, "touch", "Changes the watched resource", [](Conformance& self, Call&) -> Answer {
      ++self.version_;
      (void)self.host_.publish("conformance.changed", {{"uri", "test://watched-resource"}});
      return said("changed");
    });
  }
  Answer watched(Call& call) const {
    return contents(call.params(), {{"mimeType", "text/plain"}, {"text", "Version " + std::to_string(version_)}});
  }

  template <class F>
  static void prompt(D& d, const std::string& name, F handler, json params = object(), std::string completes = {}) {
    d.method("conformance." + name, std::move(handler),
             {.summary = "A prompt",
              .params = std::move(params),
              .prompt = Prompt{.name = name, .completes = std::move(completes)}});
  }
  static void define_prompts(D& d) {
    prompt(d, "test_simple_prompt", [](Conformance&, Call&) -> Answer {
      return messages(json::array({text("This is a simple prompt for testing.")}));
    });
    prompt(
        d, "test_prompt_with_arguments",
        [](Conformance&, Call& call) -> Answer {
          const json params = call.params();
          return messages(json::array({text("Prompt with arguments: arg1='" + params.value("arg1", "") + "', arg2='" +
                                            params.value("arg2", "") + "'")}));
        },
        object({{"arg1", string_of("first")}, {"arg2", string_of("second")}}, {"arg1", "arg2"}),
        "conformance.complete");
    prompt(
        d, "test_prompt_with_embedded_resource",
        [](Conformance&, Call& call) -> Answer {
          return messages(json::array(
              {embedded(call.params().value("resourceUri", "")), text("Please process the embedded resource above.")}));
        },
        object({{"resourceUri", string_of("the resource")}}, {"resourceUri"}));
    prompt(d, "test_prompt_with_image", [](Conformance&, Call&) -> Answer {
      return messages(json::array({image(), text("Please analyze the image above.")}));
    });
    prompt(d, "test_input_required_result_prompt", [](Conformance&, Call& call) -> Answer {
      const AgentInput input(call.params());
      const json* const response = input.response("user_context");
      if (response == nullptr)
        return AgentInput::ask({{"user_context", form("What context should the prompt use?", "context")}});
      return messages(json::array({text("Context: " + filled(*response, "context"))}));
    });
    d.method("conformance.complete", &Conformance::complete, {.summary = "Completes an argument"});
  }
  static Answer complete(Conformance& /*self*/, Call& call) {
    const std::string begun = call.params().value("value", "");
    json values = json::array();
    for (const char* word : {"paris", "park", "party", "testing"}) {
      if (std::string_view(word).starts_with(begun)) values.push_back(word);
    }
    return json{{"values", values}, {"total", values.size()}, {"hasMore", false}};
  }

  Host host_;
  int version_ = 0;
};

}  // namespace

GANTRY_PLUGIN(Conformance)
