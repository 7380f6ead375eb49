// SPDX-License-Identifier: Apache-2.0
//
// The editor's side of lsp.attach: LSP on stdio, a stream of the host's for each server on the socket. One thread, two
// descriptors. The host keeps what the editor does not read, up to the credit that was given here and to the bytes that
// it keeps for a client.
//
// One server: an editor's message waits in its pipe while the host gives no credit, and messages are passed on as the
// bytes that they are. Several (MergedServers): what one does not take is kept for it, kMaxKept bytes at most; a server
// that does not take even so is given up, and the others go on.
//
// What is no UTF-8, or half a surrogate pair, is replaced; a message that the host does not take even so
// is left out, answered with an error if it is a request, and told of. The session goes on.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <deque>
#include <gantry/repair.hpp>
#include <utility>
#include <vector>

#include "host/cli/client.hpp"
#include "host/cli/commands.hpp"
#include "host/cli/host_line.hpp"
#include "host/cli/lsp_message.hpp"
#include "host/cli/paths.hpp"
#include "host/cli/stdio.hpp"
#include "host/protocols/lsp/merged_servers.hpp"
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
constexpr auto kLate = std::chrono::seconds(60);  // behind the first server's answer
constexpr std::size_t kMaxKept = std::size_t{64} << 20;

/// A server's stream.
struct Stream {
  explicit Stream(std::string name_in, std::size_t number)
      : name(std::move(name_in)),
        id("lsp" + std::to_string(number)),
        head(R"({"jsonrpc":"2.0","method":"$/stream","params":{"id":")" + id + R"(","item":)") {}

  std::string name;  ///< of the server; empty: the host chooses
  std::string id;
  std::string head;  ///< of a message to the host, before the item
  std::uint64_t credit = 0;
  std::uint32_t consumed = 0;
  std::deque<std::string> kept{};  ///< that wait for credit
  std::size_t kept_bytes = 0;
  bool ends = false;   ///< no message follows those that are kept
  bool ended = false;  ///< the host has answered it
};

class Shim {
 public:
  explicit Shim(Client& client) : host_(client.fd(), kMaxMessage + 4096) {}

  [[nodiscard]] bool open(const LspArgs& args) {
    if (!args.language.empty()) attach_["language"] = args.language;
    if (auto here = working_folder(); !here.empty()) attach_["cwd"] = std::move(here);
    servers_ = args.servers;
    named_ = !servers_.empty();
    // What it takes is known before it gives credit.
    if (!host_.send(dump_json(hello("limits")))) return false;
    json about = attach_;
    if (servers_.empty()) return ask_for_environment(about);
    for (const auto& server : servers_) {
      about["server"] = server;
      if (!ask_for_environment(about)) return false;
    }
    return true;
  }

  int run() {
    for (look_at_those_that_are_late(); !exit_code_; look_at_those_that_are_late()) {
      const bool listen = !editor_gone_ && takes_messages();
      // Without credit the editor is not read from, but its end is seen.
      std::array<pollfd, 2> fds{pollfd{host_.fd(), POLLIN, 0},
                                pollfd{editor_gone_ ? -1 : STDIN_FILENO, static_cast<short>(listen ? POLLIN : 0), 0}};
      const int ready = ::poll(fds.data(), fds.size(), longest_wait());
      if (ready < 0 && errno != EINTR) return 1;
      // The editor is gone and the host does not answer.
      if (ready == 0 && editor_gone_ && !host_.has_unread()) return 1;
      if (ready < 0) continue;
      if (host_.has_unread()) take_host_messages();
      if (!exit_code_ && fds[0].revents != 0) read_host();
      if (!exit_code_ && (fds[1].revents & (listen ? POLLIN | POLLHUP : POLLHUP)) != 0) read_editor();
    }
    return *exit_code_;
  }

 private:
  /// Of poll(), in ms.
  [[nodiscard]] int longest_wait() const {
    const auto ms = [](auto time) {
      return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(time).count());
    };
    if (host_.has_unread()) return 0;
    if (editor_gone_) return ms(kExitGrace);
    if (!late_at_) return -1;
    return std::max(0, ms(*late_at_ - std::chrono::steady_clock::now()));
  }

  [[nodiscard]] bool request(const std::string& id, const char* method, const json& params) {
    return host_.send(dump_json({{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", params}}));
  }

  [[nodiscard]] bool ask_for_environment(const json& about) {
    return request("environment" + std::to_string(unknown_environments_++), "lsp.environment", about);
  }

  // The server uses the tools of the shell that the editor was started in. An error is told by lsp.attach as well.
  void take_environment(std::string_view message) {
    const auto doc = parse_json(message);
    const json result = doc ? doc->value("result", json::object()) : json::object();
    for (const auto& name : result.value("names", json::array())) {
      const char* const value = name.is_string() ? std::getenv(name.get_ref<const std::string&>().c_str()) : nullptr;
      if (value == nullptr || environment_.contains(name.get_ref<const std::string&>())) continue;
      if (is_utf8(value)) {
        environment_[name.get<std::string>()] = value;
      } else {
        say(name.get<std::string>() + " is no UTF-8: the server gets the host's");
      }
    }
    for (const auto& server : result.value("servers", json::array())) {
      if (server.is_string() && !named_ && servers_.size() < LspArgs::kMostServers) servers_.push_back(server);
    }
    if (--unknown_environments_ == 0) attach();
  }

  void attach() {
    if (servers_.size() == 1 && !named_) servers_.clear();  // lsp.attach chooses, also of those on this PATH
    if (servers_.empty()) servers_.emplace_back();
    if (servers_.size() > 1) attach_.erase("language");
    if (servers_.size() > 1) merged_.emplace(servers_);
    if (!environment_.empty()) attach_["environment"] = environment_;
    attach_["_meta"] = {{"stream", {{"credit", kWindow}}}};
    for (const auto& name : servers_) {
      const auto& stream = streams_.emplace_back(name, streams_.size());
      if (!name.empty()) attach_["server"] = name;
      if (!request(stream.id, "lsp.attach", attach_)) return fail_with("the host is gone");
    }
  }

  /// An editor's message can be passed on.
  [[nodiscard]] bool takes_messages() const {
    if (streams_.empty()) return false;
    if (!merged_) return streams_.front().credit > 0;
    return std::ranges::any_of(streams_, [](const Stream& each) { return each.credit > 0 && !each.ended; });
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
    while (takes_messages() && !exit_code_) {
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
    if (!editor_gone_) return;
    for (auto& stream : streams_) end(stream);
  }

  void end(Stream& stream) {
    if (std::exchange(stream.ends, true) || stream.ended) return;
    if (stream.kept.empty()) send_end(stream);
  }

  void send_end(const Stream& stream) {
    (void)host_.send(R"({"jsonrpc":"2.0","method":"$/stream","params":{"id":")" + stream.id + R"(","end":true}})");
  }

  void pass_editor_message(std::string_view message) {
    const auto repaired = repaired_json(message);
    if (repaired) {
      say("a message of the editor has bytes that are no UTF-8, or half a surrogate pair: U+FFFD takes their place");
      message = *repaired;
    }
    look_at(message);
    if (streams_.front().head.size() + message.size() + 2 > most_bytes_)
      return leave_out(message, ErrorKind::too_large,
                       "the host takes " + std::to_string(most_bytes_) + " bytes ([host] max_message_bytes)");
    std::string text = wrapped(streams_.front(), message);
    if (const auto sound = check_json(text, most_depth_); !sound)
      return leave_out(message, sound.error().kind, sound.error().message);
    if (!merged_) return send(streams_.front(), text);
    std::string to_editor;
    deliver(merged_->from_editor(message), to_editor);
    if (exits_) leave_stuck();
    if (!to_editor.empty() && !write_all(STDOUT_FILENO, to_editor)) exit_code_ = 1;
  }

  [[nodiscard]] static std::string wrapped(const Stream& stream, std::string_view message) {
    std::string text;
    text.reserve(stream.head.size() + message.size() + 2 + kPadding);
    text += stream.head;
    text += message;
    text += "}}";
    // A line is a message: line ends inside one are white space between its tokens.
    for (char& c : text) {
      if (c == '\n' || c == '\r') c = ' ';
    }
    return text;
  }

  void send(Stream& stream, const std::string& text) {
    --stream.credit;
    if (!host_.send(text)) fail_with("the host is gone");
  }

  // ---- several servers

  void deliver(MergedServers::Messages messages, std::string& to_editor) {
    for (auto& [to, text] : messages) {
      if (to == MergedServers::kEditor) {
        append_frame(to_editor, Framing::headers, text);
      } else if (text.empty()) {
        drop_kept(streams_.at(to));
        end(streams_.at(to));
      } else {
        std::string whole = wrapped(streams_.at(to), text);
        if (whole.size() > most_bytes_) {
          refuse(to, text, to_editor);
        } else {
          keep(to, std::move(whole), to_editor);
        }
      }
    }
  }

  // It has grown on the way.
  void refuse(std::size_t to, std::string_view message, std::string& to_editor) {
    const auto head = head_of(message);
    const std::string why = "a message is larger than the host takes";
    say(streams_[to].name + ": " + why);
    if (head.id.empty()) return;
    const json error{{"code", kRequestFailed}, {"message", why}};
    deliver(merged_->from_server(to, R"({"jsonrpc":"2.0","id":)" + head.id + R"(,"error":)" + dump_json(error) + "}"),
            to_editor);
  }

  void keep(std::size_t to, std::string text, std::string& to_editor) {
    auto& stream = streams_[to];
    if (stream.ends || stream.ended) return;
    stream.kept_bytes += text.size();
    stream.kept.push_back(std::move(text));
    send_kept(stream);
    if (stream.kept_bytes <= kMaxKept) return;
    drop_kept(stream);
    end(stream);
    say(stream.name + " does not take the editor's messages");
    deliver(merged_->gone(to, "it does not take messages"), to_editor);
  }

  static void drop_kept(Stream& stream) {
    stream.kept.clear();
    stream.kept_bytes = 0;
  }

  // The end goes before what a server has not taken.
  void leave_stuck() {
    for (auto& stream : streams_) {
      if (stream.kept.empty()) continue;
      drop_kept(stream);
      stream.ends = true;
      send_end(stream);
    }
  }

  // Who has not answered `initialize` or `shutdown` long after another is not waited for.
  void look_at_those_that_are_late() {
    const auto now = std::chrono::steady_clock::now();
    if (!merged_ || !merged_->waits_for_some()) {
      late_at_ = {};
    } else if (!late_at_) {
      late_at_ = now + kLate;
    } else if (now >= *late_at_) {
      late_at_ = {};
      std::string to_editor;
      deliver(merged_->go_on_without(), to_editor);
      if (!to_editor.empty() && !write_all(STDOUT_FILENO, to_editor)) exit_code_ = 1;
    }
  }

  void send_kept(Stream& stream) {
    while (stream.credit > 0 && !stream.kept.empty() && !exit_code_) {
      send(stream, stream.kept.front());
      stream.kept_bytes -= stream.kept.front().size();
      stream.kept.pop_front();
      if (stream.kept.empty() && stream.ends) send_end(stream);
    }
  }

  // ---- messages of the editor

  // Some say more than that they are to be passed on.
  void look_at(std::string_view message) {
    const auto holds = [&](std::string_view word) { return message.find(word) != std::string_view::npos; };
    if (message.size() <= kSmall && (holds("\"shutdown\"") || holds("\"exit\""))) {
      const auto head = head_of(message);
      shut_down_ = shut_down_ || (head.method == "shutdown" && !head.id.empty());
      exits_ = exits_ || head.method == "exit";
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
    for (auto& stream : streams_) {
      if (stream.consumed < kWindow / 2) continue;
      (void)host_.send(R"({"jsonrpc":"2.0","method":"$/credit","params":{"id":")" + stream.id + R"(","n":)" +
                       std::to_string(std::exchange(stream.consumed, 0)) + "}}");
    }
    pass_editor_messages();
  }

  [[nodiscard]] Stream* stream_of(std::string_view id) {
    const auto it = std::ranges::find_if(streams_, [&](const Stream& each) {
      return id.size() == each.id.size() + 2 && id.substr(1, each.id.size()) == each.id;
    });
    return it == streams_.end() ? nullptr : &*it;
  }
  [[nodiscard]] std::size_t number(const Stream& stream) const {
    return static_cast<std::size_t>(&stream - streams_.data());
  }

  void take_host_message(std::string_view message, std::string& to_editor) {
    if (!parser_.parse(message, parsed_) || parsed_.messages.size() != 1) return;
    const RpcMessage& m = parsed_.messages.front();
    const bool response = m.kind == RpcMessage::Kind::response;
    if (m.method == "$/stream") {
      const std::string_view item = parser_.raw_member(m.params, "item");
      auto* const stream = stream_of(parser_.raw_member(m.params, "id"));
      if (item.empty() || stream == nullptr) return;
      ++stream->consumed;
      if (merged_) return deliver(merged_->from_server(number(*stream), item), to_editor);
      append_frame(to_editor, Framing::headers, item);
    } else if (m.method == "$/credit") {
      const auto more = parse_json(parser_.raw_member(m.params, "n"));
      auto* const stream = stream_of(parser_.raw_member(m.params, "id"));
      if (stream == nullptr || !more || !more->is_number_unsigned()) return;
      stream->credit += more->get<std::uint32_t>();
      send_kept(*stream);
    } else if (response && m.id.empty()) {
      if (!streams_.empty() && !merged_) ++streams_.front().credit;  // it has gone by without reaching anybody
      say("the host could not take a message of the editor: " + error_in(message));
    } else if (response && m.id == "\"limits\"") {
      learn_limits(message);
    } else if (response && m.id.starts_with("\"environment")) {
      take_environment(message);
    } else if (response && m.id == "\"hello\"" && !m.failure.empty()) {
      say(error_in(message));
    } else if (auto* const stream = response ? stream_of(m.id) : nullptr) {
      stream_ended(*stream, message, to_editor);
    }
  }

  void stream_ended(Stream& stream, std::string_view message, std::string& to_editor) {
    stream.ended = true;
    drop_kept(stream);
    const auto doc = parse_json(message);
    const bool failed = doc && doc->contains("error");
    const std::string why = failed ? (*doc)["error"].value("message", "the host ended the stream") : "it has ended";
    const bool last = std::ranges::all_of(streams_, [](const Stream& each) { return each.ended; });
    const bool unused = stream.ends && !editor_gone_;  // which says nothing about how the session ends
    well_ended_ = well_ended_ || (!failed && !unused);
    if (last && !well_ended_) return fail_with(why);
    if (last) {
      exit_code_ = left_early_ ? 1 : 0;  // as LSP has it: `exit` without `shutdown` is a failure
      return;
    }
    if (failed) say(stream.name + ": " + why);
    deliver(merged_->gone(number(stream), why), to_editor);
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
  json environment_ = json::object();
  std::vector<std::string> servers_;  ///< their names; one that is empty: lsp.attach chooses
  bool named_ = false;                ///< the editor has named them
  std::optional<std::chrono::steady_clock::time_point> late_at_;  ///< no longer waited for then
  std::size_t unknown_environments_ = 0;                          ///< questions that are open
  std::vector<Stream> streams_;                                   ///< empty: not attached yet
  std::optional<MergedServers> merged_;                           ///< of several streams
  FrameDecoder from_editor_{kMaxMessage, Framing::headers};
  EnvelopeParser parser_{kMaxMessage + 4096, 1000, 1};
  RpcParsed parsed_;
  bool editor_gone_ = false;
  bool well_ended_ = false;  ///< a stream has ended without an error
  bool initialized_ = false;
  bool shut_down_ = false;
  bool exits_ = false;
  bool left_early_ = false;  ///< `exit` came before `shutdown`
  std::string first_folder_;
  std::size_t most_bytes_ = kMaxMessage;
  std::size_t most_depth_ = 1000;
  std::optional<int> exit_code_;
};

}  // namespace

int lsp(const Common& common, const LspArgs& args) {
  if (args.servers.size() > LspArgs::kMostServers) {
    return complain(Error{
        ErrorKind::invalid_params, "at most " + std::to_string(LspArgs::kMostServers) + " servers can be merged", {}});
  }
  auto connected = connect_or_start(connect_options(common, "gantry lsp"));
  if (!connected) return complain(connected.error());
  print_notes(connected->notes);
  Shim shim(connected->client);
  if (!shim.open(args)) return complain(Error{ErrorKind::unavailable, "the host is gone", {}});
  return shim.run();
}

}  // namespace gantry::host
