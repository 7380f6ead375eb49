// SPDX-License-Identifier: Apache-2.0
//
// Views by themselves: random clients, a random disk, and a server that only notes what it is told.
#include "plugins/lsp/views.hpp"

#include <catch2/catch.hpp>
#include <gantry/json.hpp>
#include <random>

#include "plugins/lsp/envelope.hpp"

using gantry::json;
using gantry::lsp::ClientId;
using gantry::lsp::Views;

namespace {

struct Text {
  std::string language, text;
  long long version = 0;
  bool operator==(const Text&) const = default;
};

/// What a server knows, from the messages alone.
struct Server {
  std::map<std::string, Text> open;
  std::map<std::string, long long> highest;

  void take(std::string_view message) {
    const json m = json::parse(message);
    const json& document = m["params"]["textDocument"];
    const std::string uri = document["uri"];
    if (m["method"] == "textDocument/didOpen") {
      REQUIRE_FALSE(open.contains(uri));
      open[uri] = {document["languageId"], document["text"], document["version"]};
    } else if (m["method"] == "textDocument/didChange") {
      REQUIRE(open.contains(uri));
      auto& now = open[uri];
      for (const auto& change : m["params"]["contentChanges"]) {
        if (!change.contains("range")) {
          now.text = change["text"];
          continue;
        }
        const auto from = change["range"]["start"]["character"].get<std::size_t>(),
                   to = change["range"]["end"]["character"].get<std::size_t>();
        now.text.replace(from, to - from, change["text"].get<std::string>());
      }
      REQUIRE(document["version"] > now.version);
      now.version = document["version"];
    } else {
      REQUIRE(open.erase(uri) == 1);
    }
    if (const auto it = open.find(uri); it != open.end()) {
      REQUIRE(it->second.version > highest[uri]);
      highest[uri] = it->second.version;
    }
  }
};

class Simulation {
 public:
  explicit Simulation(unsigned seed) : random_(seed) {
    for (const auto* const name : {"/a", "/b", "/c"}) disk_[name] = std::string("disk of ") + name;
    join();
    join();
  }

  void step() {
    const auto [id, client] = pick();
    switch (random_() % 12) {
      case 0:
        if (clients_.size() < 4) return join();
        if (clients_.size() > 2) return leave(id);
        return;
      case 1:
        disk_[path()] = "disk " + std::to_string(random_() % 3);
        return;
      case 2:
        disk_.erase(path());
        return;
      case 3:
        return close(id, path());
      case 4:
      case 5:
        return open(id, path());
      case 6:
      case 7:
        return change(id, path());
      case 8:
        return publish();
      case 9:
        return pay();
      case 10:
        views_.settled(views_.changes());
        settled_ = history_.size();
        return;
      default:
        return ask(id);
    }
  }

 private:
  struct Document {
    std::string language, text;
    long long version = 0;
  };
  using Documents = std::map<std::string, Document>;

  [[nodiscard]] Views::Send sender() {
    return [this](std::string_view message) {
      server_.take(message);
      history_.push_back(server_.open);
    };
  }
  [[nodiscard]] std::string path() { return std::vector<std::string>{"/a", "/b", "/c", "/new"}[random_() % 4]; }
  /// A text that no other client has, nor the disk.
  [[nodiscard]] std::string text(ClientId id) { return mark(id) + std::to_string(random_() % 3); }
  [[nodiscard]] static std::string mark(ClientId id) { return "<" + std::to_string(id) + ">"; }
  std::pair<ClientId, Documents*> pick() {
    auto it = clients_.begin();
    std::advance(it, static_cast<long>(random_() % clients_.size()));
    return {it->first, &it->second};
  }
  void join() {
    look(views_.open_paths());
    const auto id = ++last_;
    clients_[id];
    views_.add(id);
  }
  void pay() {
    std::vector<Views::Delivery> presented;
    (void)views_.pay(sender(), presented);
    deliver(presented);
  }
  void leave(ClientId id) {
    clients_.erase(id);
    (void)views_.remove(id, sender());
  }
  void look(const std::vector<std::string>& paths) {
    for (const auto& each : paths) {
      const auto it = disk_.find(each);
      views_.disk_is({{each, it == disk_.end() ? std::nullopt : std::optional(it->second)}});
    }
  }
  /// As the session does before each message that depends on texts.
  void show(ClientId id) {
    look(views_.needed_from_disk(id));
    if (!views_.shows(id)) views_.show(id, sender());
    check_shown(id);
  }
  void notify(ClientId id, const std::string& method, const json& params) {
    show(id);
    const std::string message = gantry::dump_json({{"method", method}, {"params", params}});
    const auto done =
        views_.forward(id, method, message, gantry::lsp::scan(message, gantry::lsp::Scan::full).params, sender());
    REQUIRE_FALSE(done.refused);
    if (!done.shared.empty()) deliver(views_.present(id, done.shared));
  }
  void open(ClientId id, const std::string& path) {
    if (clients_[id].contains(path)) return;
    const Document document{random_() % 8 == 0 ? "other" : "plain",
                            disk_.contains(path) && random_() % 2 == 0 ? disk_[path] : text(id),
                            static_cast<long long>(random_() % 5)};
    clients_[id][path] = document;
    pending_ = {id, path};  // the view is that of before
    notify(id, "textDocument/didOpen",
           {{"textDocument",
             {{"uri", "file://" + path},
              {"languageId", document.language},
              {"version", document.version},
              {"text", document.text}}}});
    pending_.reset();
    check_shown(id);
  }
  void change(ClientId id, const std::string& path) {
    const auto it = clients_[id].find(path);
    if (it == clients_[id].end()) return;
    json change{{"text", text(id)}};
    auto& document = it->second;
    if (random_() % 2 == 0) {
      const auto at = random_() % (document.text.size() + 1);
      change = {{"range", {{"start", {{"line", 0}, {"character", at}}}, {"end", {{"line", 0}, {"character", at}}}}},
                {"text", mark(id)}};
      document.text.insert(at, mark(id));
    } else {
      document.text = change["text"];
    }
    document.version += 1 + static_cast<long long>(random_() % 3);
    pending_ = {id, path};
    notify(
        id, "textDocument/didChange",
        {{"textDocument", {{"uri", "file://" + path}, {"version", document.version}}}, {"contentChanges", {change}}});
    pending_.reset();
    check_shown(id);
  }
  void close(ClientId id, const std::string& path) {
    if (!clients_[id].contains(path)) return;
    notify(id, "textDocument/didClose", {{"textDocument", {{"uri", "file://" + path}}}});
    clients_[id].erase(path);
  }
  void ask(ClientId id) { show(id); }

  /// The texts that a client may see an answer from.
  [[nodiscard]] bool is_view_of(ClientId id, const std::map<std::string, Text>& texts) const {
    const auto& own = clients_.at(id);
    for (const auto& [uri, text] : texts) {
      const auto path = uri.substr(7);
      if (const auto it = own.find(path); it != own.end()) {
        if (it->second.text != text.text || it->second.language != text.language) return false;
      } else {
        const auto disk = disk_.find(path);
        if (disk == disk_.end() || disk->second != text.text) return false;
      }
    }
    return std::ranges::all_of(own, [&](const auto& each) { return texts.contains("file://" + each.first); });
  }
  void check_shown(ClientId id) {
    if (id == 0 || pending_) return;
    REQUIRE(is_view_of(id, server_.open));
  }

  /// The server says something of a text that it has, or had a while ago.
  void publish() {
    if (history_.empty()) return;
    // It may be slow, but has seen what it had when it last answered a question.
    const bool named = random_() % 2 == 0;
    const auto late = named || settled_ == 0 ? history_.size() : history_.size() - settled_ + 1;
    const auto back = std::min<std::size_t>(random_() % 6, late - 1);
    const auto& texts = history_[history_.size() - 1 - back];
    if (texts.empty()) return;
    auto it = texts.begin();
    std::advance(it, static_cast<long>(random_() % texts.size()));
    // A diagnostic holds all that it was computed from.
    json all = json::object();
    for (const auto& [uri, text] : texts) all[uri] = {text.language, text.text, text.version};
    json params{{"uri", it->first}, {"diagnostics", {all}}};
    if (named) params["version"] = it->second.version;
    const std::string message =
        gantry::dump_json({{"method", "textDocument/publishDiagnostics"}, {"params", std::move(params)}});
    deliver(views_.published(message, gantry::lsp::scan(message, gantry::lsp::Scan::full).params));
  }
  void deliver(const std::vector<Views::Delivery>& deliveries) {
    for (const auto& each : deliveries) {
      const json params = json::parse(each.message)["params"];
      const std::string path = params["uri"].get<std::string>().substr(7);
      const auto& own = clients_.at(each.to);
      ++delivered;
      for (const auto& [uri, seen] : params["diagnostics"][0].items()) {
        for (const auto& [other, documents] : clients_) {
          INFO("to " << each.to << ": " << each.message);
          if (other != each.to) REQUIRE(seen[1].get<std::string>().find(mark(other)) == std::string::npos);
        }
      }
      // The version is the client's own, and the text of that version is what it is for.
      const auto document = own.find(path);
      if (document == own.end()) REQUIRE_FALSE(params.contains("version"));
      const auto& seen = params["diagnostics"][0]["file://" + path];
      if (document != own.end() && params.value("version", -1LL) == document->second.version)
        REQUIRE(seen[1] == document->second.text);
    }
  }

  std::mt19937 random_;
  std::map<std::string, std::string> disk_;
  std::map<ClientId, Documents> clients_;
  Views views_;
  Server server_;
  std::vector<std::map<std::string, Text>> history_;
  std::size_t settled_ = 0;  // the length of the history then
  std::optional<std::pair<ClientId, std::string>> pending_;
  ClientId last_ = 0;

 public:
  std::size_t delivered = 0;
};

}  // namespace

TEST_CASE("views: random clients are shown their own texts, and told only of those") {
  std::size_t delivered = 0;
  for (unsigned seed = 1; seed <= 300; ++seed) {
    INFO("seed " << seed);
    Simulation simulation(seed);
    for (int i = 0; i < 150; ++i) simulation.step();
    delivered += simulation.delivered;
  }
  REQUIRE(delivered > 500);
}

TEST_CASE("views: the next instance of the plugin knows the encoding of positions and whose diagnostics are owed") {
  const auto ignored = [](std::string_view) {};
  const auto notify = [&](Views& views, ClientId id, const std::string& method, const json& params) {
    const std::string message = gantry::dump_json({{"method", method}, {"params", params}});
    (void)views.forward(id, method, message, gantry::lsp::scan(message, gantry::lsp::Scan::full).params, ignored);
  };
  const auto open = [&](Views& views, ClientId id, const char* text) {
    notify(views, id, "textDocument/didOpen",
           {{"textDocument", {{"uri", "file:///a"}, {"languageId", "plain"}, {"version", 1}, {"text", text}}}});
  };
  Views before;
  before.set_encoding(gantry::lsp::Encoding::utf8);
  before.add(1);
  before.add(2);
  open(before, 1, "of one");
  before.disk_is({{"/a", "disk"}});
  const std::string said = R"({"params":{"uri":"file:///a","version":1,"diagnostics":[1]}})";
  REQUIRE(before.published(said, gantry::lsp::scan(said, gantry::lsp::Scan::full).params).size() == 1);
  Views after;
  after.restore(before.suspend());
  after.disk_is({{"/a", "disk"}});
  after.show(2, ignored);
  REQUIRE(after.owes());
  after.add(3);
  open(after, 3,
       "\xC3\xA4"
       "bc");
  const json start{{"line", 0}, {"character", 2}}, end{{"line", 0}, {"character", 3}};
  const json change{{"range", {{"start", start}, {"end", end}}}, {"text", "X"}};
  notify(after, 3, "textDocument/didChange",
         {{"textDocument", {{"uri", "file:///a"}, {"version", 2}}}, {"contentChanges", json::array({change})}});
  REQUIRE(after.documents(3).find("/a")->text ==
          "\xC3\xA4"
          "Xc");
}
