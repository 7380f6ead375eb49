// SPDX-License-Identifier: Apache-2.0
//
// The editor's side of lsp.attach: LSP on stdio, one stream of the host's on the socket. One thread, two descriptors.
// An editor's message waits in its pipe while the host gives no credit; the host keeps what the editor does not read,
// up to the credit that was given here. Messages are passed on as the bytes that they are.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>
#include <vector>

#include "host/cli/client.hpp"
#include "host/cli/commands.hpp"
#include "host/cli/paths.hpp"
#include "host/doors/rpc/envelope.hpp"

namespace gantry::host {

namespace {

constexpr std::size_t kMaxMessage = std::size_t{64} << 20;
constexpr std::uint32_t kWindow = 256;
constexpr auto kFarewell = std::chrono::seconds(5);
constexpr std::string_view kStreamHead = R"({"jsonrpc":"2.0","method":"$/stream","params":{"id":"lsp","item":)";

[[nodiscard]] bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t wrote = ::write(fd, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && errno == EAGAIN) {
      pollfd state{fd, POLLOUT, 0};
      (void)::poll(&state, 1, -1);
      continue;
    }
    if (wrote <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(wrote));
  }
  return true;
}

[[nodiscard]] std::string path_of(const std::string& uri) {
  constexpr std::string_view kFile = "file://";
  if (uri.compare(0, kFile.size(), kFile) != 0) return {};
  std::string out;
  for (std::size_t i = kFile.size(); i < uri.size(); ++i) {
    if (uri[i] == '%' && i + 2 < uri.size()) {
      out += static_cast<char>(std::strtol(uri.substr(i + 1, 2).c_str(), nullptr, 16));
      i += 2;
    } else {
      out += uri[i];
    }
  }
  return out;
}

// The folder that an `initialize` names, or empty: the first of workspaceFolders, else rootUri, else rootPath.
[[nodiscard]] std::string root_of(const json& params) {
  std::vector<json> named;
  if (!params.is_object()) return {};
  if (const auto folders = params.find("workspaceFolders"); folders != params.end() && folders->is_array()) {
    for (const auto& folder : *folders) {
      if (folder.is_object()) named.push_back(folder.value("uri", json()));
    }
  }
  named.push_back(params.value("rootUri", json()));
  for (const auto& uri : named) {
    if (!uri.is_string()) continue;
    if (auto path = path_of(uri.get<std::string>()); !path.empty()) return path;
  }
  const json path = params.value("rootPath", json());
  return path.is_string() ? path.get<std::string>() : std::string();
}

class Shim {
 public:
  explicit Shim(Client& client) : host_(client.fd()) {}

  [[nodiscard]] bool open(const LspArgs& args) {
    json params{{"_meta", {{"stream", {{"credit", kWindow}}}}}};
    if (!args.language.empty()) params["language"] = args.language;
    if (!args.server.empty()) params["server"] = args.server;
    return to_host(dump_json({{"jsonrpc", "2.0"}, {"id", "lsp"}, {"method", "lsp.attach"}, {"params", params}}));
  }

  int run() {
    while (!exit_code_) {
      const bool listen = !editor_gone_ && credit_ > 0;
      // Without credit the editor is not read from, but its end is seen.
      std::array<pollfd, 2> fds{pollfd{host_, POLLIN, 0},
                                pollfd{editor_gone_ ? -1 : STDIN_FILENO, static_cast<short>(listen ? POLLIN : 0), 0}};
      const int wait = unread_ ? 0 : editor_gone_ ? static_cast<int>(std::chrono::milliseconds(kFarewell).count()) : -1;
      const int ready = ::poll(fds.data(), fds.size(), wait);
      if (ready < 0 && errno != EINTR) return 1;
      if (ready == 0 && !unread_) return 1;  // the editor is gone and the host does not answer
      if (ready < 0) continue;
      if (unread_) take_host_messages();
      if (!exit_code_ && fds[0].revents != 0) read_host();
      if (!exit_code_ && (fds[1].revents & (listen ? POLLIN | POLLHUP : POLLHUP)) != 0) read_editor();
    }
    return *exit_code_;
  }

 private:
  // While the host takes nothing it may be waiting for us to read: what it says meanwhile is kept for later.
  [[nodiscard]] bool to_host(std::string_view message) {
    out_.clear();
    append_frame(out_, Framing::lines, message);
    for (std::size_t at = 0; at < out_.size();) {
      const ssize_t wrote = ::send(host_, out_.data() + at, out_.size() - at, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (wrote > 0) {
        at += static_cast<std::size_t>(wrote);
        continue;
      }
      if (wrote < 0 && errno != EAGAIN && errno != EINTR) return false;
      pollfd state{host_, POLLIN | POLLOUT, 0};
      (void)::poll(&state, 1, -1);
      if ((state.revents & POLLIN) != 0 && !receive_some()) return false;
    }
    return true;
  }

  // False: the host is gone.
  [[nodiscard]] bool receive_some() {
    constexpr std::size_t kBytes = 64 * 1024;
    const ssize_t got = ::recv(host_, from_host_.prepare(kBytes), kBytes, MSG_DONTWAIT);
    if (got < 0) return errno == EINTR || errno == EAGAIN;
    if (got == 0) return false;
    from_host_.commit(static_cast<std::size_t>(got));
    unread_ = true;
    return true;
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
          std::fprintf(stderr, "gantry lsp: a message of the editor is larger than 64 MiB; it was left out\n");
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
    (void)to_host(R"({"jsonrpc":"2.0","method":"$/stream","params":{"id":"lsp","end":true}})");
  }

  void pass_editor_message(std::string_view message) {
    if (!initialized_ && message.find("\"initialize\"") != std::string_view::npos) name_workspace(message);
    --credit_;
    std::string item(message);
    // A line is a message: line ends inside one are white space between its tokens.
    for (char& c : item) {
      if (c == '\n' || c == '\r') c = ' ';
    }
    std::string text;
    text.reserve(kStreamHead.size() + item.size() + 2);
    text += kStreamHead;
    text += item;
    text += "}}";
    if (!to_host(text)) fail_with("the host is gone");
  }

  // The plugins that work on workspaces learn of the editor's.
  void name_workspace(std::string_view message) {
    const auto doc = parse_json(message);
    if (!doc || doc->value("method", json()) != "initialize") return;
    initialized_ = true;
    const json params = doc->value("params", json::object());
    const std::string folder = root_of(params);
    if (folder.empty()) return;
    (void)to_host(dump_json({{"jsonrpc", "2.0"},
                             {"id", "hello"},
                             {"method", "host.hello"},
                             {"params", {{"client", "gantry lsp"}, {"workspace", folder}}}}));
  }

  void read_host() {
    if (!receive_some()) {
      fail_with("the host is gone");
      return;
    }
    take_host_messages();
  }

  void take_host_messages() {
    unread_ = false;
    std::string_view message;
    std::string to_editor;
    while (!exit_code_ && from_host_.next(message) == FrameDecoder::Status::message)
      take_host_message(message, to_editor);
    if (!to_editor.empty() && !write_all(STDOUT_FILENO, to_editor)) exit_code_ = 1;
    if (consumed_ >= kWindow / 2) {
      (void)to_host(R"({"jsonrpc":"2.0","method":"$/credit","params":{"id":"lsp","n":)" + std::to_string(consumed_) +
                    "}}");
      consumed_ = 0;
    }
    if (credit_ > 0) pass_editor_messages();
  }

  void take_host_message(std::string_view message, std::string& to_editor) {
    auto parsed = parser_.parse(message);
    if (!parsed || parsed->messages.size() != 1) return;
    const RpcMessage& m = parsed->messages.front();
    if (m.method == "$/stream") {
      const std::string_view item = parser_.raw_member(m.params, "item");
      if (item.empty()) return;
      ++consumed_;
      append_frame(to_editor, Framing::headers, item);
    } else if (m.method == "$/credit") {
      const auto more = parse_json(parser_.raw_member(m.params, "n"));
      if (more && more->is_number_unsigned()) credit_ += more->get<std::uint32_t>();
    } else if (m.kind == RpcMessage::Kind::response && m.id.empty()) {
      const auto doc = parse_json(message);
      fail_with("the host could not take a message of the editor: " +
                (doc ? doc->value("error", json::object()).value("message", "") : std::string()));
    } else if (m.kind == RpcMessage::Kind::response && m.id == "\"lsp\"") {
      const auto doc = parse_json(message);
      if (doc && doc->contains("error")) {
        fail_with((*doc)["error"].value("message", "the host ended the stream"));
      } else {
        exit_code_ = 0;
      }
    }
  }

  void fail_with(const std::string& why) {
    std::fprintf(stderr, "gantry lsp: %s\n", shown(std::string_view(why)).c_str());
    exit_code_ = 1;
  }

  const int host_;
  FrameDecoder from_editor_{kMaxMessage, Framing::headers};
  FrameDecoder from_host_{kMaxMessage + 4096, Framing::lines};
  EnvelopeParser parser_{kMaxMessage + 4096, 1000, 1};
  std::string out_;
  std::uint64_t credit_ = 0;
  std::uint32_t consumed_ = 0;
  bool unread_ = false;  ///< bytes of the host came while something was written to it
  bool editor_gone_ = false;
  bool ended_ = false;
  bool initialized_ = false;
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
