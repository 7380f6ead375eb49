// SPDX-License-Identifier: Apache-2.0
//
// A language server that does on request what real ones do at the worst moment. It writes what it is sent into a file
// (--log FILE), one message a line.
//
//   --exit-at-start   --hang-initialize   --refuse-initialize
//   --initialize-when FIFO (answers initialize when something is written there)
//   --deaf (reads nothing after `initialized`)
//   --utf8 (counts positions so)   --save, --save-text (wants to hear of saved documents, with their text)
//   --error-null (beside each result)   --float-ids (answers 1 as 1.0 and 2 as 2e0)
//   --large (reads notifications over 1 MiB, too, whose text is x's: as the number of them)
//   --noisy (prints other things on stdout than messages, and writes headers in a way of its own)
//   --capabilities JSON (an object: further capabilities of the server)
//   --only-noise (prints nothing else)
//   --answers FILE (a JSON object: the result of each method that it names, as the file is when the request comes; with
//     {"test/hang": true} it waits for test/release)
//   --diagnose (publishes an error for each line of an open document that has the word "bad"; an empty list twice)
//   --no-versions (names none with diagnostics)
//   --pull (answers textDocument/diagnostic with what --diagnose would publish; first with ServerCancelled)
//   --diagnose-when FIFO (waits until something is written there before it publishes for a text with the word "wait")
//   --sends-edit FILE (asks the client to apply the edit in FILE while workspace/executeCommand runs, and answers that
//     with an error if the client has not)
//   --ignore-cancel (goes on with a request that is cancelled)
//   --result-of-cancelled (answers a request that is cancelled with an empty array)
//   --sync JSON (its `textDocumentSync`, without changes: a didChange ends the server)
//   --ignore-exit (answers neither shutdown nor exit, and stays when its input ends)
//
// A request with {"test/refuse": {"error": E, "times": N}} is answered with E, N times for each
// method.
// Methods: see `request` and `test_request`. Documents: didOpen, didChange with full text, didClose.
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <gantry/framing.hpp>
#include <gantry/json.hpp>
#include <iostream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

using gantry::json;

// A process that is confined may not trace itself, as the leak checker would.
extern "C" int __lsan_is_turned_off();  // NOLINT: its name
int __lsan_is_turned_off() { return 1; }

namespace {

struct Options {
  bool exit_at_start = false, hang_initialize = false, refuse_initialize = false, deaf = false, ignore_exit = false,
       utf8 = false, save = false, save_text = false, error_null = false, float_ids = false, large = false,
       noisy = false, only_noise = false, diagnose = false, no_versions = false, ignore_cancel = false,
       result_of_cancelled = false, pull = false;
  std::string log, capabilities, initialize_when, answers, diagnose_when, sends_edit, sync;
};

class Server {
 public:
  explicit Server(Options options) : options_(std::move(options)) {
    if (!options_.log.empty()) log_.open(options_.log, std::ios::app);
  }

  int run() {
    if (options_.noisy) raw("\x1b[1mStarting\x1b[0m up\r\nread Content-Length: 2\n\n");
    while (options_.only_noise) raw("cannot start: \xff no licence\n");
    gantry::FrameDecoder decoder(std::size_t{256} << 20, gantry::Framing::headers);
    while (true) {
      std::string_view text;
      while (decoder.next(text) == gantry::FrameDecoder::Status::message) handle(std::string(text));
      const auto n = ::read(0, decoder.prepare(65536), 65536);
      if (n <= 0) break;
      decoder.commit(static_cast<std::size_t>(n));
    }
    while (options_.ignore_exit) ::pause();
    return 0;
  }

 private:
  void raw(const std::string& bytes) {
    for (std::size_t at = 0; at < bytes.size();) {
      const auto n = ::write(1, bytes.data() + at, bytes.size() - at);
      if (n <= 0) std::_Exit(9);
      at += static_cast<std::size_t>(n);
    }
  }
  void framed(const std::string& text) {
    if (options_.noisy) {
      const std::string type = ++framed_ % 2 == 0 ? "content-type: utf-8\n" : "";
      return raw("Called a method\n" + type + "content-length: " + std::to_string(text.size()) + "\n\n" + text + "\n");
    }
    std::string frame;
    gantry::append_frame(frame, gantry::Framing::headers, text);
    raw(frame);
  }
  void send(json message) {
    message["jsonrpc"] = "2.0";
    if (options_.error_null && message.contains("result")) message["error"] = nullptr;
    framed(gantry::dump_json(message));
  }
  void send_with_id(const std::string& id, const json& message) {
    framed(R"({"jsonrpc":"2.0","id":)" + id + "," + gantry::dump_json(message).substr(1));
  }
  void send_answer(json id, json message) {
    if (options_.float_ids && id.is_number_integer())
      return send_with_id(id.dump() + (id.get<int>() % 2 == 0 ? "e0" : ".0"), message);
    message["id"] = std::move(id);
    send(std::move(message));
  }
  void answer(const json& id, json result) { send_answer(id, {{"result", std::move(result)}}); }
  void refuse(const json& id, int code, const std::string& why) {
    send_answer(id, {{"error", {{"code", code}, {"message", why}}}});
  }

  [[nodiscard]] static std::string shortened(const std::string& text) {
    constexpr std::string_view kText = R"("text":")";
    const auto from = text.find(kText) + kText.size(), end = text.rfind('x') + 1;
    return text.substr(0, from) + std::to_string(end - from) + text.substr(end);
  }

  void handle(const std::string& text) {
    // To read a large notification takes its time, and nobody else asks for one.
    constexpr std::size_t kLarge = std::size_t{1} << 20;
    if (text.size() > kLarge && std::string_view(text).substr(0, 100).find("\"id\":") == std::string_view::npos)
      return options_.large ? handle(shortened(text)) : void();
    if (log_.is_open()) log_ << text << std::endl;
    raw(std::exchange(rest_, {}));
    const json message = json::parse(text);
    if (!message.contains("method")) {
      if (message["id"] == "edit") return command_ended(message);
      const auto it = asked_.find(message["id"].dump());
      if (it == asked_.end()) return;
      answer(it->second, message);
      asked_.erase(it);
    } else if (message.contains("id")) {
      request(message["id"], message["method"], message.value("params", json::object()));
    } else {
      notification(message["method"], message.value("params", json::object()));
    }
  }

  void request(const json& id, const std::string& method, const json& params) {
    if (method == "initialize") {
      initialize(id);
    } else if (method == "shutdown") {
      if (!options_.ignore_exit) answer(id, nullptr);
    } else if (const auto error = params.find("test/refuse"); error != params.end()) {
      if (++refused_[method] > error->at("times").get<int>()) return answer(id, {{"asked", refused_[method]}});
      send({{"id", id}, {"error", error->at("error")}});
    } else if (method == "workspace/executeCommand" && !options_.sends_edit.empty()) {
      command_ = id;
      std::ifstream in(options_.sends_edit);
      send({{"id", "edit"}, {"method", "workspace/applyEdit"}, {"params", {{"edit", json::parse(in)}}}});
    } else if (params.contains("test/hang")) {
      hanging_.push_back(id);
    } else if (const auto given = given_answer(method)) {
      if (given->is_object() && given->contains("test/hang")) return hanging_.push_back(id);
      answer(id, *given);
    } else if (method == "textDocument/diagnostic" && options_.pull) {
      if (++pulls_ == 1) return refuse(id, -32802, "not yet");
      const auto it = documents_.find(params.at("textDocument").at("uri"));
      answer(id, {{"kind", "full"}, {"items", found_in(it == documents_.end() ? "" : it->second.value("text", ""))}});
    } else if (method == "textDocument/hover") {
      hover(id, params);
    } else if (method == "textDocument/semanticTokens/full") {
      answer(id, {{"resultId", std::to_string(++last_result_)}, {"data", {0, 0, last_result_, 0, 0}}});
    } else if (method ==
               "textDocument/semanticTokens/full/delta") {  // whatever the client has, as vscode's library does
      answer(id, {{"resultId", std::to_string(++last_result_)}, {"edits", json::array()}});
    } else if (!test_request(id, method, params)) {
      refuse(id, -32601, "no " + method);
    }
  }

  void command_ended(const json& reply) {
    if (reply["result"].value("applied", false)) return answer(command_, nullptr);
    refuse(command_, -32603, "the edit was not applied");
  }

  void diagnose(const std::string& uri) {
    const json& document = documents_[uri];
    const std::string text = document.value("text", "");
    if (!options_.diagnose_when.empty() && text.find("wait") != std::string::npos)
      (void)std::ifstream(options_.diagnose_when).get();
    const json list = found_in(text);
    json params{{"uri", uri}, {"diagnostics", list}};
    if (!options_.no_versions) params["version"] = document["version"];
    for (int i = list.empty() ? 2 : 1; i > 0; --i)
      send({{"method", "textDocument/publishDiagnostics"}, {"params", params}});
  }

  [[nodiscard]] static json found_in(const std::string& text) {
    json list = json::array();
    std::istringstream lines(text);
    int number = 0;
    for (std::string line; std::getline(lines, line); ++number) {
      const auto at = line.find("bad");
      if (at == std::string::npos) continue;
      const json start{{"line", number}, {"character", at}}, end{{"line", number}, {"character", at + 3}};
      list.push_back(
          {{"range", {{"start", start}, {"end", end}}}, {"severity", 1}, {"message", "a bad word: " + line}});
    }
    return list;
  }

  void initialize(const json& id) {
    if (options_.hang_initialize) return hanging_.push_back(id);
    if (!options_.initialize_when.empty()) (void)std::ifstream(options_.initialize_when).get();
    if (options_.refuse_initialize) return refuse(id, -32603, "no licence");
    json capabilities{{"hoverProvider", true}};
    if (options_.utf8) capabilities["positionEncoding"] = "utf-8";
    if (options_.pull)
      capabilities["diagnosticProvider"] = {
          {"identifier", "fake"}, {"interFileDependencies", true}, {"workspaceDiagnostics", false}};
    if (options_.save) capabilities["textDocumentSync"] = {{"change", 1}, {"save", true}};
    if (options_.save_text) capabilities["textDocumentSync"] = {{"change", 1}, {"save", {{"includeText", true}}}};
    if (!options_.sync.empty()) capabilities["textDocumentSync"] = json::parse(options_.sync);
    if (!options_.capabilities.empty()) capabilities.update(json::parse(options_.capabilities));
    answer(id, {{"capabilities", std::move(capabilities)}, {"serverInfo", {{"pid", ::getpid()}}}});
  }

  [[nodiscard]] std::optional<json> given_answer(const std::string& method) const {
    if (options_.answers.empty()) return std::nullopt;
    std::ifstream in(options_.answers);
    const json all = json::parse(in);
    const auto it = all.find(method);
    return it == all.end() ? std::nullopt : std::optional<json>(*it);
  }

  void hover(const json& id, const json& params) {
    const std::string uri = params.at("textDocument").at("uri");
    const auto it = documents_.find(uri);
    if (it == documents_.end()) return refuse(id, -32602, "not open: " + uri);
    answer(id, {{"contents", it->second.value("text", "")}, {"version", it->second.value("version", -1)}});
  }

  /// False: there is no such method.
  void release(const json& result) {
    for (const auto& held : hanging_) answer(held, result);
    hanging_.clear();
  }

  [[nodiscard]] bool test_request(const json& id, const std::string& method, const json& params) {
    if (method == "test/echo") {
      answer(id, params);
    } else if (method == "test/crash") {
      std::cerr << "fatal: asked to crash" << std::endl;
      std::_Exit(7);
    } else if (method == "test/stderr") {
      std::cerr << std::string(params.value("bytes", 0U), '.') << "the end\n" << std::flush;
      answer(id, nullptr);
    } else if (method == "test/hang" || method == "workspace/diagnostic" || method == "workspace/executeCommand") {
      hanging_.push_back(id);
    } else if (method == "test/release") {
      release(params.value("result", json("late")));
      answer(id, "released");
    } else if (method == "test/garbage") {
      raw("Content-Length: nonsense\r\n\r\n{}");
    } else if (method == "test/bad_json") {
      framed(R"({"jsonrpc":"2.0","id":)" + id.dump());
    } else if (method == "test/bad_inside") {
      framed(R"({"jsonrpc":"2.0","id":)" + id.dump() + R"(,"result":{"a":[1,}})");
    } else if (method == "test/half") {  // of a surrogate pair
      framed(R"({"jsonrpc":"2.0","method":"test/cut","params":{"text":"\ud83d"}})");
      framed(R"({"jsonrpc":"2.0","id":)" + id.dump() + R"(,"result":"cut \udc00 here"})");
    } else if (method == "test/no_utf8") {
      framed(R"({"jsonrpc":"2.0","id":)" + id.dump() + ",\"result\":\"cut \xC3 here\"}");
    } else if (method == "test/deep") {
      const auto depth = params.at("depth").get<std::size_t>();
      framed(R"({"jsonrpc":"2.0","id":)" + id.dump() + R"(,"result":)" + std::string(depth, '[') +
             std::string(depth, ']') + "}");
    } else if (method == "test/cwd") {
      std::string here(4096, '\0');
      answer(id, ::getcwd(here.data(), here.size()) == nullptr ? "" : here.c_str());
    } else if (method == "test/variable") {
      const char* const value = std::getenv(params.at("name").get<std::string>().c_str());
      answer(id, value == nullptr ? json() : json(value));
    } else if (method == "test/write") {
      answer(id, std::ofstream(params.at("path").get<std::string>()).good());
    } else if (method == "test/twice") {
      answer(id, 1);
      answer(id, 2);
      answer(999999999, "nobody asked");
      answer("text", "nobody asked");
    } else if (method == "test/answer_other") {
      answer(params.at("id"), nullptr);
      answer(id, nullptr);
    } else if (method == "test/ask") {
      const std::string own = params.value("id_text", "\"ask-" + std::to_string(++last_ask_) + "\"");
      asked_[json::parse(own).dump()] = id;
      send_with_id(own, {{"method", params.at("method")}, {"params", params.value("params", json())}});
    } else if (method == "test/notify") {
      send({{"method", params.at("method")}, {"params", params.value("params", json())}});
      answer(id, nullptr);
    } else if (method == "test/flood") {
      const std::string filler(params.value("size", 100), 'x');
      for (int i = 0; i < params.value("count", 1); ++i) {  // as text: many large ones take their time to be written
        framed(R"({"jsonrpc":"2.0","method":"test/drop","params":{"n":)" + std::to_string(i) + R"(,"fill":")" + filler +
               "\"}}");
      }
      answer(id, "flooded");
    } else if (method == "test/half_message") {
      half_message();
    } else if (method == "test/big") {
      const std::size_t size = std::size_t{65} << 20;
      raw("Content-Length: " + std::to_string(size) + "\r\n\r\n" + std::string(size, ' '));
    } else if (method == "test/big_answer") {
      framed(R"({"jsonrpc":"2.0","id":)" + id.dump() + R"(,"result":")" + std::string(std::size_t{65} << 20, 'x') +
             "\"}");
    } else if (method == "test/large") {
      framed(R"({"jsonrpc":"2.0","id":)" + id.dump() + R"(,"result":")" +
             std::string(params.at("size").get<std::size_t>(), 'x') + "\"}");
    } else if (method == "test/ask_large") {
      asked_["\"large\""] = id;
      send({{"id", "large"},
            {"method", "test/question"},
            {"params", std::string(params.at("size").get<std::size_t>(), 'x')}});
    } else if (method == "test/allocate") {
      allocate(params.at("mib"));
      answer(id, nullptr);
    } else if (method == "test/child") {
      std::array<int, 2> ready{};
      if (::pipe(ready.data()) != 0) std::_Exit(9);
      const auto child = ::fork();
      if (child == 0) {
        allocate(params.value("mib", 0U));
        if (params.value("leaves", false) && ::fork() != 0) std::_Exit(0);  // its own child is left to the guard
        const pid_t self = ::getpid();
        (void)!::write(ready[1], &self, sizeof self);
        while (true) ::pause();
      }
      pid_t stays = -1;
      if (::read(ready[0], &stays, sizeof stays) != sizeof stays) std::_Exit(9);
      for (const int end : ready) ::close(end);
      answer(id, stays);
    } else {
      return false;
    }
    return true;
  }

  // Memory that the process uses until its end.
  static void allocate(std::size_t mib) {
    const std::size_t bytes = mib << 20;
    if (bytes == 0) return;
    void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::_Exit(9);
    std::memset(memory, 1, bytes);
  }

  // Says half of a message, and writes "half read" when that was read. The rest, which holds what looks like another
  // message, follows when the next one comes.
  void half_message() {
    constexpr std::size_t kHalf = 100;
    std::string frame;
    gantry::append_frame(frame, gantry::Framing::headers,
                         R"({"jsonrpc":"2.0","method":"test/drop","params":")" + std::string(kHalf, 'x') +
                             "Content-Length: 2\r\n\r\n{}\"}");
    raw(frame.substr(0, kHalf));
    rest_ = frame.substr(kHalf);
    for (int unread = kHalf; unread != 0; (void)::poll(nullptr, 0, 1)) {  // no event tells of it
      if (::ioctl(1, FIONREAD, &unread) != 0) std::_Exit(9);
    }
    log_ << R"({"method":"half read"})" << std::endl;
  }

  void notification(const std::string& method, const json& params) {
    if (method == "exit" && !options_.ignore_exit) std::_Exit(0);
    if (method == "test/ask_many") {
      for (int i = 1; i <= params.value("count", 0); ++i)
        send({{"id", "many-" + std::to_string(i)}, {"method", "test/question"}, {"params", json::object()}});
    }
    if (method == "initialized" && options_.deaf) {
      while (true) ::pause();
    }
    if (method == "$/cancelRequest" && !options_.ignore_cancel) {
      for (auto it = hanging_.begin(); it != hanging_.end(); ++it) {
        if (*it != params.at("id")) continue;
        if (options_.result_of_cancelled) {
          answer(*it, json::array());
        } else {
          refuse(*it, -32800, "cancelled");
        }
        hanging_.erase(it);
        return;
      }
    }
    if (method == "test/release") release("late");
    if (method == "textDocument/didOpen") documents_[params["textDocument"]["uri"]] = params["textDocument"];
    if (method == "textDocument/didChange") {
      if (!options_.sync.empty()) std::_Exit(8);
      auto& document = documents_[params["textDocument"]["uri"]];
      document["version"] = params["textDocument"]["version"];
      for (const auto& change : params["contentChanges"]) document["text"] = change["text"];
    }
    if (options_.diagnose && (method == "textDocument/didOpen" || method == "textDocument/didChange"))
      diagnose(params["textDocument"]["uri"]);
    if (method == "textDocument/didClose") documents_.erase(params["textDocument"]["uri"].get<std::string>());
  }

  const Options options_;
  std::ofstream log_;
  std::vector<json> hanging_;
  std::map<std::string, json> asked_;  // by the text of our id
  std::map<std::string, json> documents_;
  std::map<std::string, int> refused_;
  json command_;      ///< the id of the one that runs
  std::string rest_;  ///< of half_message()
  int last_ask_ = 0;
  int last_result_ = 0;
  int pulls_ = 0;
  int framed_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    if (arg == "--exit-at-start") options.exit_at_start = true;
    if (arg == "--hang-initialize") options.hang_initialize = true;
    if (arg == "--refuse-initialize") options.refuse_initialize = true;
    if (arg == "--utf8") options.utf8 = true;
    if (arg == "--pull") options.pull = true;
    if (arg == "--save") options.save = true;
    if (arg == "--save-text") options.save_text = true;
    if (arg == "--error-null") options.error_null = true;
    if (arg == "--float-ids") options.float_ids = true;
    if (arg == "--large") options.large = true;
    if (arg == "--deaf") options.deaf = true;
    if (arg == "--noisy") options.noisy = true;
    if (arg == "--only-noise") options.only_noise = true;
    if (arg == "--diagnose") options.diagnose = true;
    if (arg == "--no-versions") options.no_versions = true;
    if (arg == "--diagnose-when" && i + 1 < argc) options.diagnose_when = argv[++i];
    if (arg == "--sends-edit" && i + 1 < argc) options.sends_edit = argv[++i];
    if (arg == "--ignore-cancel") options.ignore_cancel = true;
    if (arg == "--result-of-cancelled") options.result_of_cancelled = true;
    if (arg == "--sync" && i + 1 < argc) options.sync = argv[++i];
    if (arg == "--ignore-exit") options.ignore_exit = true;
    if (arg == "--initialize-when" && i + 1 < argc) options.initialize_when = argv[++i];
    if (arg == "--capabilities" && i + 1 < argc) options.capabilities = argv[++i];
    if (arg == "--answers" && i + 1 < argc) options.answers = argv[++i];
    if (arg == "--log" && i + 1 < argc) options.log = argv[++i];
  }
  if (options.exit_at_start) {
    std::cerr << "fatal: no such option" << std::endl;
    return 3;
  }
  return Server(options).run();
}
