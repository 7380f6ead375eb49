// SPDX-License-Identifier: Apache-2.0
//
// The editor's side of lsp.attach: LSP on stdio, one stream of the host's on the socket. One thread, two descriptors.
// An editor's message waits in its pipe while the host gives no credit; the host keeps what the editor does not read,
// up to the credit that was given here and to the bytes that it keeps for a client. Messages are passed on as the bytes
// that they are. What is no UTF-8, or half a surrogate pair, is replaced; a message that the host does not take even so
// is left out, answered with an error if it is a request, and told of. The session goes on.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <gantry/repair.hpp>
#include <utility>
#include <vector>

#include "host/cli/client.hpp"
#include "host/cli/commands.hpp"
#include "host/cli/host_line.hpp"
#include "host/cli/lsp_message.hpp"
#include "host/cli/paths.hpp"
#include "host/cli/stdio.hpp"
#include "host/protocols/rpc/envelope.hpp"
#include "host/runtime/json_text.hpp"

namespace gantry::host {

namespace {

constexpr std::size_t kMaxMessage = std::size_t{64} << 20;
constexpr std::uint32_t kWindow = 64;
constexpr std::size_t kSmall = 4096;    // bytes of a message that may be `shutdown` or `exit`
constexpr std::size_t kPadding = 64;    // that the parser reads behind a text
constexpr int kRequestFailed = -32803;  // LSP's
constexpr auto kExitGrace = std::chrono::seconds(5);
constexpr std::string_view kStreamHead = R"({"jsonrpc":"2.0","method":"$/stream","params":{"id":"lsp","item":)";

class Shim {
 public:
  explicit Shim(Client& client) : host_(client.fd(), kMaxMessage + 4096) {}

  [[nodiscard]] bool open(const LspArgs& args) {
    if (!args.language.empty()) attach_["language"] = args.language;
    if (!args.server.empty()) attach_["server"] = args.server;
    if (auto here = working_folder(); !here.empty()) attach_["cwd"] = std::move(here);
    // What it takes is known before it gives credit.
    return host_.send(dump_json(hello("limits"))) && request("environment", "lsp.environment", attach_);
  }

  int run() {
    while (!exit_code_) {
      const bool listen = !editor_gone_ && credit_ > 0;
      // Without credit the editor is not read from, but its end is seen.
      std::array<pollfd, 2> fds{pollfd{host_.fd(), POLLIN, 0},
                                pollfd{editor_gone_ ? -1 : STDIN_FILENO, static_cast<short>(listen ? POLLIN : 0), 0}};
      const int wait = host_.has_unread() ? 0
                       : editor_gone_     ? static_cast<int>(std::chrono::milliseconds(kExitGrace).count())
                                          : -1;
      const int ready = ::poll(fds.data(), fds.size(), wait);
      if (ready < 0 && errno != EINTR) return 1;
      if (ready == 0 && !host_.has_unread()) return 1;  // the editor is gone and the host does not answer
      if (ready < 0) continue;
      if (host_.has_unread()) take_host_messages();
      if (!exit_code_ && fds[0].revents != 0) read_host();
      if (!exit_code_ && (fds[1].revents & (listen ? POLLIN | POLLHUP : POLLHUP)) != 0) read_editor();
    }
    return *exit_code_;
  }

 private:
  [[nodiscard]] bool request(const char* id, const char* method, const json& params) {
    return host_.send(dump_json({{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", params}}));
  }

  // The server uses the tools of the shell that the editor was started in. An error is told by lsp.attach as well.
  void attach(std::string_view names_message) {
    const auto doc = parse_json(names_message);
    const json result = doc ? doc->value("result", json::object()) : json::object();
    json environment = json::object();
    for (const auto& name : result.value("names", json::array())) {
      const char* const value = name.is_string() ? std::getenv(name.get_ref<const std::string&>().c_str()) : nullptr;
      if (value == nullptr) continue;
      if (is_utf8(value)) {
        environment[name.get<std::string>()] = value;
      } else {
        say(name.get<std::string>() + " is no UTF-8: the server gets the host's");
      }
    }
    if (!environment.empty()) attach_["environment"] = std::move(environment);
    attach_["_meta"] = {{"stream", {{"credit", kWindow}}}};
    if (!request("lsp", "lsp.attach", attach_)) fail_with("the host is gone");
  }

  void read_editor() {
    constexpr std::size_t kBytes = 64 * 1024;
    const ssize_t got = ::read(STDIN_FILENO, from_editor_.prepare(kBytes), kBytes);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (got <= 0) {
      editor_gone_ = true;
    } else {
      from_editor_.commit(static_cast<std::size_t>(got));
    }
    pass_editor_messages();
  }

  void pass_editor_messages() {
    while (credit_ > 0 && !exit_code_) {
      std::string_view message;
      switch (from_editor_.next(message)) {
        case FrameDecoder::Status::need_more:
          end_if_gone();
          return;
        case FrameDecoder::Status::message:
          pass_editor_message(message);
          break;
        case FrameDecoder::Status::too_large:
          say("a message of the editor is larger than 64 MiB; it was left out");
          break;
        case FrameDecoder::Status::broken:
          fail_with("the editor's input: " + from_editor_.error());
          return;
      }
    }
  }

  // Behind the last message, which may have waited for credit.
  void end_if_gone() {
    if (!editor_gone_ || std::exchange(ended_, true)) return;
    (void)host_.send(R"({"jsonrpc":"2.0","method":"$/stream","params":{"id":"lsp","end":true}})");
  }

  void pass_editor_message(std::string_view message) {
    const auto repaired = repaired_json(message);
    if (repaired) {
      say("a message of the editor has bytes that are no UTF-8, or half a surrogate pair: U+FFFD takes their place");
      message = *repaired;
    }
    look_at(message);
    if (kStreamHead.size() + message.size() + 2 > most_bytes_)
      return leave_out(message, ErrorKind::too_large,
                       "the host takes " + std::to_string(most_bytes_) + " bytes ([host] max_message_bytes)");
    std::string text;
    text.reserve(kStreamHead.size() + message.size() + 2 + kPadding);
    text += kStreamHead;
    text += message;
    text += "}}";
    // A line is a message: line ends inside one are white space between its tokens.
    for (char& c : text) {
      if (c == '\n' || c == '\r') c = ' ';
    }
    if (const auto sound = check_json(text, most_depth_); !sound)
      return leave_out(message, sound.error().kind, sound.error().message);
    --credit_;
    if (!host_.send(text)) fail_with("the host is gone");
  }

  // Some say more than that they are to be passed on.
  void look_at(std::string_view message) {
    const auto holds = [&](std::string_view word) { return message.find(word) != std::string_view::npos; };
    if (message.size() <= kSmall && (holds("\"shutdown\"") || holds("\"exit\""))) {
      const auto head = head_of(message);
      shut_down_ = shut_down_ || (head.method == "shutdown" && !head.id.empty());
      left_early_ = left_early_ || (head.method == "exit" && !shut_down_);
    }
    if (!initialized_ && holds("\"initialize\"") && head_of(message).method == "initialize") {
      initialized_ = true;
      if (const auto doc = parse_json(message))
        name_workspaces(folders_of_initialize(doc->value("params", json::object())));
    } else if (initialized_ && holds("\"workspace/didChangeWorkspaceFolders\"")) {
      const auto doc = parse_json(message);
      if (doc && doc->is_object() && doc->value("method", json()) == "workspace/didChangeWorkspaceFolders")
        name_workspaces(folders_added(doc->value("params", json::object())));
    }
  }

  // The plugins that work on workspaces learn of the editor's, and its server may write there. The first is the
  // client's, so it is named last.
  void name_workspaces(const std::vector<std::string>& folders) {
    if (folders.empty()) return;
    if (first_folder_.empty()) first_folder_ = folders.front();
    for (const auto& folder : folders) {
      if (folder != first_folder_) (void)host_.send(dump_json(hello("hello", folder)));
    }
    (void)host_.send(dump_json(hello("hello", first_folder_)));
  }

  [[nodiscard]] static json hello(const char* id, const std::string& workspace = {}) {
    json params{{"client", "gantry lsp"}};
    if (!workspace.empty()) params["workspace"] = workspace;
    return {{"jsonrpc", "2.0"}, {"id", id}, {"method", "host.hello"}, {"params", std::move(params)}};
  }

  // The host does not take it: the editor is told, and all else goes on.
  void leave_out(std::string_view message, ErrorKind kind, const std::string& why) {
    const auto head = head_of(message);
    const std::string what = "a message of the editor" + (head.method.empty() ? "" : " (" + head.method + ")") +
                             " of " + std::to_string(message.size()) + " bytes was left out: " + why;
    say(what);
    const json error{{"code", kind == ErrorKind::parse_error ? static_cast<int>(kind) : kRequestFailed},
                     {"message", what},
                     {"data", {{"kind", kind_name(kind)}}}};
    if (!head.method.empty() && head.id.empty()) {
      to_editor(dump_json(
          {{"jsonrpc", "2.0"}, {"method", "window/logMessage"}, {"params", {{"type", 2}, {"message", what}}}}));
    } else if (!head.method.empty() || kind == ErrorKind::parse_error) {
      to_editor(R"({"jsonrpc":"2.0","id":)" + (head.id.empty() ? "null" : head.id) + R"(,"error":)" + dump_json(error) +
                "}");
    }
  }

  void to_editor(std::string_view message) {
    std::string text;
    append_frame(text, Framing::headers, message);
    if (!write_all(STDOUT_FILENO, text)) exit_code_ = 1;
  }

  void read_host() {
    if (!host_.receive()) {
      fail_with("the host is gone");
      return;
    }
    take_host_messages();
  }

  void take_host_messages() {
    std::string_view message;
    std::string to_editor;
    while (!exit_code_ && host_.next(message)) take_host_message(message, to_editor);
    if (!to_editor.empty() && !write_all(STDOUT_FILENO, to_editor)) exit_code_ = 1;
    if (consumed_ >= kWindow / 2) {
      (void)host_.send(R"({"jsonrpc":"2.0","method":"$/credit","params":{"id":"lsp","n":)" + std::to_string(consumed_) +
                       "}}");
      consumed_ = 0;
    }
    if (credit_ > 0) pass_editor_messages();
  }

  void take_host_message(std::string_view message, std::string& to_editor) {
    if (!parser_.parse(message, parsed_) || parsed_.messages.size() != 1) return;
    const RpcMessage& m = parsed_.messages.front();
    if (m.method == "$/stream") {
      const std::string_view item = parser_.raw_member(m.params, "item");
      if (item.empty()) return;
      ++consumed_;
      append_frame(to_editor, Framing::headers, item);
    } else if (m.method == "$/credit") {
      const auto more = parse_json(parser_.raw_member(m.params, "n"));
      if (more && more->is_number_unsigned()) credit_ += more->get<std::uint32_t>();
    } else if (m.kind == RpcMessage::Kind::response && m.id.empty()) {
      ++credit_;  // it has gone by without reaching anybody
      say("the host could not take a message of the editor: " + error_in(message));
    } else if (m.kind == RpcMessage::Kind::response && m.id == "\"limits\"") {
      learn_limits(message);
    } else if (m.kind == RpcMessage::Kind::response && m.id == "\"environment\"") {
      attach(message);
    } else if (m.kind == RpcMessage::Kind::response && m.id == "\"hello\"" && !m.failure.empty()) {
      say(error_in(message));
    } else if (m.kind == RpcMessage::Kind::response && m.id == "\"lsp\"") {
      const auto doc = parse_json(message);
      if (doc && doc->contains("error")) {
        fail_with((*doc)["error"].value("message", "the host ended the stream"));
      } else {
        exit_code_ = left_early_ ? 1 : 0;  // as LSP has it: `exit` without `shutdown` is a failure
      }
    }
  }

  void learn_limits(std::string_view message) {
    const auto doc = parse_json(message);
    const json result = doc ? doc->value("result", json::object()) : json::object();
    const json limits = result.value("capabilities", json::object());
    most_bytes_ = limits.value("max_message_bytes", most_bytes_);
    most_depth_ = limits.value("max_json_depth", most_depth_);
  }

  [[nodiscard]] static std::string error_in(std::string_view message) {
    const auto doc = parse_json(message);
    return doc ? doc->value("error", json::object()).value("message", "") : std::string();
  }

  static void say(std::string_view what) { std::fprintf(stderr, "gantry lsp: %s\n", shown(what).c_str()); }

  void fail_with(const std::string& why) {
    say(why);
    exit_code_ = 1;
  }

  HostLine host_;
  json attach_ = json::object();  ///< the params of lsp.attach
  FrameDecoder from_editor_{kMaxMessage, Framing::headers};
  EnvelopeParser parser_{kMaxMessage + 4096, 1000, 1};
  RpcParsed parsed_;
  std::uint64_t credit_ = 0;
  std::uint32_t consumed_ = 0;
  bool editor_gone_ = false;
  bool ended_ = false;
  bool initialized_ = false;
  bool shut_down_ = false;
  bool left_early_ = false;  ///< `exit` came before `shutdown`
  std::string first_folder_;
  std::size_t most_bytes_ = kMaxMessage;
  std::size_t most_depth_ = 1000;
  std::optional<int> exit_code_;
};

}  // namespace

int lsp(const Common& common, const LspArgs& args) {
  auto connected = connect_or_start(connect_options(common, "gantry lsp"));
  if (!connected) return complain(connected.error());
  print_notes(connected->notes);
  Shim shim(connected->client);
  if (!shim.open(args)) return complain(Error{ErrorKind::unavailable, "the host is gone", {}});
  return shim.run();
}

}  // namespace gantry::host
