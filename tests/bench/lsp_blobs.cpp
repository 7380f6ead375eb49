// SPDX-License-Identifier: Apache-2.0
//
// Answers of 100 KB to 16 editors of one server: what a core of the host passes on in a second, beside a process that
// copies bytes (peers/relay.c) between one editor and that server.
#include <poll.h>
#include <unistd.h>

#include <fstream>
#include <gantry/framing.hpp>
#include <memory>
#include <stdexcept>

#include "tests/bench/support.hpp"

namespace bench {

namespace {

constexpr int kEditors = 16;
constexpr int kDepth = 4;  // requests of an editor at once

/// An editor that looks at no more of an answer than where it ends.
class Reader {
 public:
  Reader(const std::vector<std::string>& words, const std::vector<std::string>& environment, const std::string& root)
      : process_(words, environment, true) {
    send(R"({"jsonrpc":"2.0","id":0,"method":"initialize","params":{"processId":null,"rootUri":"file://)" + root +
         R"(","capabilities":{"textDocument":{"semanticTokens":{"requests":{"full":true},"tokenTypes":[],)"
         R"("tokenModifiers":[],"formats":["relative"]}}}}})");
    while (take() == 0) read();
    send(R"({"jsonrpc":"2.0","method":"initialized","params":{}})");
  }
  void ask() {
    send(R"({"jsonrpc":"2.0","id":)" + std::to_string(++last_id_) +
         R"(,"method":"textDocument/semanticTokens/full","params":{"textDocument":{"uri":"file:///a.blob"}}})");
  }
  void read() {
    const ssize_t got = ::read(process_.out(), decoder_.prepare(kChunk), kChunk);
    if (got <= 0) throw std::runtime_error("a process has ended");
    decoder_.commit(static_cast<std::size_t>(got));
  }
  /// The bytes of the next message that is there; 0: none is.
  [[nodiscard]] std::size_t take() {
    std::string_view message;
    return decoder_.next(message) == gantry::FrameDecoder::Status::message ? message.size() : 0;
  }
  [[nodiscard]] int fd() const { return process_.out(); }
  [[nodiscard]] const Child& process() const { return process_; }

 private:
  static constexpr std::size_t kChunk = std::size_t{256} << 10;
  void send(const std::string& message) {
    std::string text;
    gantry::append_frame(text, gantry::Framing::headers, message);
    write_all(process_.in(), text);
  }

  Child process_;
  gantry::FrameDecoder decoder_{std::size_t{1} << 20, gantry::Framing::headers};
  int last_id_ = 0;
};

/// Each editor has kDepth requests open until all have asked `each` times. Returns the bytes of the answers.
[[nodiscard]] double answers_to(const std::vector<std::unique_ptr<Reader>>& readers, int each) {
  std::vector<pollfd> fds;
  std::vector<int> left(readers.size(), each - kDepth);
  for (const auto& reader : readers) {
    fds.push_back({reader->fd(), POLLIN, 0});
    for (int i = 0; i < kDepth; ++i) reader->ask();
  }
  double bytes = 0;
  for (int open = static_cast<int>(readers.size()) * each; open > 0;) {
    if (::poll(fds.data(), fds.size(), 60'000) <= 0) throw std::runtime_error("no answer within a minute");
    for (std::size_t i = 0; i < readers.size(); ++i) {
      if (fds[i].revents == 0) continue;
      readers[i]->read();
      for (std::size_t size = 0; (size = readers[i]->take()) > 0;) {
        bytes += static_cast<double>(size);
        --open;
        if (left[i]-- > 0) readers[i]->ask();
      }
    }
  }
  return bytes;
}

}  // namespace

void lsp_blobs(const Options& options, std::vector<Row>& rows) {
  const std::string root = temp_dir(), dir = temp_dir();
  const std::string gantry = options.build_dir + "/gantry", blob = options.build_dir + "/bench/lsp_blob";
  std::ofstream(dir + "/g.toml") << "[host]\npolling = \"off\"\n[lsp.servers.blob]\ncommand = [\"" << blob
                                 << "\"]\nlanguages = [\"blob\"]\nextensions = [\".blob\"]\n";
  const std::vector<std::string> environment{"GANTRY_STATE_DIR=" + dir + "/state"};
  Child host({gantry, "serve", "--socket", dir + "/g.sock", "--config", dir + "/g.toml", "--workspace", root},
             environment, false);
  ::close(connect_soon(dir + "/g.sock"));
  std::vector<std::unique_ptr<Reader>> ours, relayed;
  for (int i = 0; i < kEditors; ++i) {
    ours.push_back(std::make_unique<Reader>(
        std::vector<std::string>{gantry, "lsp", "--server", "blob", "--socket", dir + "/g.sock", "--no-start"},
        environment, root));
  }
  relayed.push_back(std::make_unique<Reader>(std::vector<std::string>{options.build_dir + "/bench/relay", blob},
                                             std::vector<std::string>{}, root));
  Row core{"lsp.blobs", "gantry", "through one core of the host", "MB/s", "higher", {}, 0, "goal: at least 400"};
  Row shims{"lsp.blobs", "gantry", "through one core of host and shims", "MB/s", "higher", {}, 0, {}};
  Row wall{"lsp.blobs", "gantry", "in all, two cores", "MB/s", "higher", {}, 0, "server, host, shims, 16 editors"};
  Row relay{"lsp.blobs", "a relay", "through one core of the relay", "MB/s", "higher", {}, 0, "one editor"};
  const int rounds = options.quick ? 5 : 15;
  constexpr int kEach = 60;
  for (int round = 0; round <= rounds; ++round) {  // the first warms up
    const auto shims_seconds = [&] {
      double all = 0;
      for (const auto& each : ours) all += each->process().clock_seconds();
      return all;
    };
    const double host_before = host.clock_seconds(), shims_before = shims_seconds();
    const auto start = Clock::now();
    const double megabytes = answers_to(ours, kEach) / 1e6;
    const double seconds = seconds_since(start), by_host = host.clock_seconds() - host_before;
    const double by_shims = shims_seconds() - shims_before;
    const double relay_before = relayed.front()->process().clock_seconds();
    const double relayed_mb = answers_to(relayed, kEach * 4) / 1e6;
    if (round == 0) continue;
    core.samples.push_back(megabytes / by_host);
    shims.samples.push_back(megabytes / (by_host + by_shims));
    wall.samples.push_back(megabytes / seconds);
    relay.samples.push_back(relayed_mb / (relayed.front()->process().clock_seconds() - relay_before));
    core.cpu_seconds += by_host;
    shims.cpu_seconds += by_host + by_shims;
  }
  rows.insert(rows.end(), {core, shims, wall, relay});
}

}  // namespace bench
