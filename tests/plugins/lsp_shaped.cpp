// SPDX-License-Identifier: Apache-2.0
//
// Shaped like what hosts a language server: a stream both ways, questions back to the client, calls of other services,
// descriptors with calls and answers.
#include <fcntl.h>
#include <unistd.h>

#include <gantry/plugin.hpp>
#include <memory>

namespace {

using gantry::json;

[[nodiscard]] std::string read_all(int fd) {
  std::string out(4096, '\0');
  const ssize_t got = ::read(fd, out.data(), out.size());
  out.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return out;
}

/// The end of a pipe from which `text` can be read.
[[nodiscard]] gantry::Descriptors pipe_with(const std::string& text) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return {};
  (void)!::write(ends[1], text.data(), text.size());
  ::close(ends[1]);
  gantry::Descriptors out;
  out.emplace_back(ends[0]);
  return out;
}

}  // namespace

struct LspShaped {
  explicit LspShaped(gantry::Host h) : host(std::move(h)) {}

  // Calls {method, params} and answers what comes back; a cancel is passed on.
  void relay(gantry::Call call) { pass_on(std::move(call), false); }
  // The same, of the client that called, or of the one whose number is {client}.
  void ask(gantry::Call call) { pass_on(std::move(call), true); }

  void pass_on(gantry::Call call, bool back) {
    const json params = call.params();
    auto options = back ? call.back() : call.onward();
    if (back) options.client = params.value("client", options.client);
    if (params.contains("timeout_ms"))
      options.deadline = gantry::Deadline::in(std::chrono::milliseconds(params["timeout_ms"]), host.now());
    auto shared = std::make_shared<gantry::Call>(std::move(call));
    const auto made = host.call(params["method"].get<std::string>(), params.value("params", json::object()),
                                std::move(options), [shared](gantry::Result<gantry::CallAnswer> answer) {
                                  if (answer) {
                                    shared->reply(json{{"relayed", answer->value}});
                                  } else {
                                    shared->reply_error(answer.error());
                                  }
                                });
    if (!made) {
      shared->reply_error(made.error());
      return;
    }
    shared->on_cancel([outgoing = *made] { outgoing.cancel(); });
  }

  // A stream both ways in front of another one of the same kind: {method, params, credit}.
  void tunnel(gantry::Call call) {
    const json params = call.params();
    auto shared = std::make_shared<gantry::Call>(std::move(call));
    auto options = shared->onward();
    options.stream_credit = params["credit"].get<std::uint32_t>();
    auto far = std::make_shared<std::optional<gantry::OutgoingCall>>();
    options.on_item = [shared, far](json item) {
      (void)shared->item(item);
      (*far)->grant(1);
    };
    options.on_credit = [shared](std::uint32_t more) { shared->grant(more); };
    auto made = host.call(params["method"].get<std::string>(), params.value("params", json::object()),
                          std::move(options), [shared](gantry::Result<gantry::CallAnswer> answer) {
                            if (answer) {
                              shared->reply(json{{"tunnelled", answer->value}});
                            } else {
                              shared->reply_error(answer.error());
                            }
                          });
    if (!made) {
      shared->reply_error(made.error());
      return;
    }
    *far = *made;
    shared->on_item([outgoing = *made](std::string_view item) { (void)outgoing.item(json::parse(item)); });
    shared->on_end([outgoing = *made] { outgoing.end(); });
    shared->on_cancel([outgoing = *made] { outgoing.cancel(); });
  }

  // Answers with a descriptor from which {text} can be read.
  void pipe(gantry::Call call) {
    call.attach(pipe_with(call.params().value("text", "")));
    call.reply(json{{"attached", 1}});
  }
  // Calls `pipe`, and reads what came.
  void fetch(gantry::Call call) {
    auto shared = std::make_shared<gantry::Call>(std::move(call));
    (void)host.call("lsp_shaped.pipe", shared->params(), shared->onward(),
                    [shared](gantry::Result<gantry::CallAnswer> answer) {
                      json texts = json::array();
                      for (const auto& descriptor : answer->descriptors) texts.push_back(read_all(descriptor.get()));
                      shared->reply(texts);
                    });
  }
  // Reads what comes with the call.
  gantry::Result<json> read(gantry::Call& call) {
    json texts = json::array();
    for (const auto& descriptor : call.take_descriptors()) texts.push_back(read_all(descriptor.get()));
    return texts;
  }
  // Calls {method} with {count} descriptors, each with its number in it.
  void hand_out(gantry::Call call) {
    auto shared = std::make_shared<gantry::Call>(std::move(call));
    const json params = shared->params();
    auto options = shared->onward();
    for (int i = 0; i < params["count"].get<int>(); ++i) {
      for (auto& end : pipe_with(std::to_string(i))) options.descriptors.push_back(std::move(end));
    }
    const auto made = host.call(params["method"].get<std::string>(), json::object(), std::move(options),
                                [shared](gantry::Result<gantry::CallAnswer> answer) {
                                  if (answer) {
                                    shared->reply(answer->value);
                                  } else {
                                    shared->reply_error(answer.error());
                                  }
                                });
    if (!made) shared->reply_error(made.error());
  }
  gantry::Result<json> count_descriptors(gantry::Call&) {
    int open = 0;
    for (int fd = 0; fd < 1024; ++fd) open += ::fcntl(fd, F_GETFD) != -1 ? 1 : 0;
    return json{{"open", open}};
  }

  // Sends malformed calls, and says what the host said of each.
  gantry::Result<json> malformed(gantry::Call&) {
    const auto send = [this](std::uint64_t id, std::string_view method, std::string_view params) {
      auto msg = gantry::detail::make_msg(GANTRY_CALL, id);
      msg.topic = gantry::detail::to_bytes(method);
      msg.payload = gantry::detail::to_bytes(params);
      return host.raw()->send(host.raw()->ctx, &msg);
    };
    const std::uint64_t own = GANTRY_OWN_CALL | (1ULL << 62U);
    const std::string long_name(300, 'x');
    json out = json::object();
    out["no own id"] = send(77, "echo.say", "{}");
    out["no method"] = send(own, "", "{}");
    out["long method"] = send(own, long_name, "{}");
    out["no object"] = send(own, "echo.say", "[1]");
    out["no json"] = send(own, "echo.say", "{");
    out["fine"] = send(own, "faulty.never", "{}");
    out["id in use"] = send(own, "echo.say", "{}");
    auto cancel = gantry::detail::make_msg(GANTRY_CANCEL, own);
    out["cancel"] = host.raw()->send(host.raw()->ctx, &cancel);
    out["cancelled twice"] = host.raw()->send(host.raw()->ctx, &cancel);
    auto unknown = gantry::detail::make_msg(GANTRY_CREDIT, own + 1);
    out["credit for none"] = host.raw()->send(host.raw()->ctx, &unknown);
    return out;
  }
  // Makes {count} calls that nobody answers, each of {bytes}, and says how many were taken.
  gantry::Result<json> many(gantry::Call& call) {
    int taken = 0;
    const json params{{"p", std::string(call.params().value("bytes", std::size_t{0}), 'x')}};
    for (int i = 0; i < call.params()["count"].get<int>(); ++i) {
      if (host.call("faulty.never", params, {}, nullptr)) ++taken;
    }
    return json{{"taken", taken}};
  }
  // Who calls?
  gantry::Result<json> caller(gantry::Call& call) {
    const auto who = host.origin(call.origin());
    return json{{"client", who ? who->client : ""}, {"origin", call.origin()}, {"trace", call.traceparent()}};
  }
  gantry::Result<json> gone_ones(gantry::Call&) { return left; }
  void gone(std::uint64_t origin) { left.push_back(origin); }

  static void define(gantry::Definition<LspShaped>& d) {
    d.id("lsp_shaped").version("1.0.0").service("lsp_shaped").grant("call:**").grant("client");
    d.method("lsp_shaped.relay", &LspShaped::relay).method("lsp_shaped.ask", &LspShaped::ask);
    d.method("lsp_shaped.tunnel", &LspShaped::tunnel, {.summary = "A stream", .stream = true});
    d.method("lsp_shaped.pipe", &LspShaped::pipe).method("lsp_shaped.fetch", &LspShaped::fetch);
    d.method("lsp_shaped.read", &LspShaped::read).method("lsp_shaped.hand_out", &LspShaped::hand_out);
    d.method("lsp_shaped.count_descriptors", &LspShaped::count_descriptors);
    d.method("lsp_shaped.malformed", &LspShaped::malformed).method("lsp_shaped.many", &LspShaped::many);
    d.method("lsp_shaped.caller", &LspShaped::caller).method("lsp_shaped.gone_ones", &LspShaped::gone_ones);
  }

  gantry::Host host;
  json left = json::array();
};
GANTRY_PLUGIN(LspShaped)
