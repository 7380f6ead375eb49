// SPDX-License-Identifier: Apache-2.0
//
// A language server that answers each request with semantic tokens of 100 KB, prepared before: lsp_blob.
#include <unistd.h>

#include <array>
#include <gantry/framing.hpp>
#include <string>
#include <string_view>

namespace {

constexpr std::size_t kBytes = 100'000;

void write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t wrote = ::write(STDOUT_FILENO, text.data(), text.size());
    if (wrote <= 0) _exit(1);
    text.remove_prefix(static_cast<std::size_t>(wrote));
  }
}

[[nodiscard]] std::string_view id_in(std::string_view message) {
  constexpr std::string_view kName = "\"id\":";
  const auto at = message.find(kName);
  if (at == std::string_view::npos) return {};
  const auto id = message.substr(at + kName.size());
  return id.substr(0, id.find_first_of(",}"));
}

}  // namespace

int main() {
  std::string tokens = R"({"data":[0)";
  while (tokens.size() < kBytes) tokens += ",1,4,3,8,0";
  tokens += "]}";
  const std::string welcome = R"({"capabilities":{"semanticTokensProvider":{"full":true,"legend":{"tokenTypes":[],)"
                              R"("tokenModifiers":[]}}}})";
  gantry::FrameDecoder decoder(std::size_t{1} << 20, gantry::Framing::headers);
  std::array<char, 65536> bytes{};
  std::string out;
  for (ssize_t got = 0; (got = ::read(STDIN_FILENO, bytes.data(), bytes.size())) > 0;) {
    decoder.feed({bytes.data(), static_cast<std::size_t>(got)});
    out.clear();
    for (std::string_view message; decoder.next(message) == gantry::FrameDecoder::Status::message;) {
      const auto id = id_in(message);
      if (message.find("\"exit\"") != std::string_view::npos) return 0;
      if (id.empty() || message.find("\"method\"") == std::string_view::npos) continue;
      std::string answer = R"({"jsonrpc":"2.0","id":)";
      answer += id;
      answer += R"(,"result":)";
      answer += message.find("\"initialize\"") != std::string_view::npos ? welcome : tokens;
      answer += "}";
      gantry::append_frame(out, gantry::Framing::headers, answer);
    }
    write_all(out);
  }
}
