// SPDX-License-Identifier: Apache-2.0
//
// A server whose certificate is of a private CA, made with openssl and served by node.
#include <signal.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>

#include "tests/other_user.hpp"
#include "tests/unit/ai/support.hpp"

using namespace gantry;
using ai_test::config;
using ai_test::hello;
using Catch::Contains;
using testing::TestHost;

namespace {

// Says its pid, then its port.
constexpr const char* kServe = R"js(
const fs = require("fs"), answer = process.argv[2];
const server = require("https").createServer({key: fs.readFileSync("key.pem"), cert: fs.readFileSync("ca.pem")},
  (request, response) => request.resume().on("end", () => response.end(answer)));
server.listen(0, "127.0.0.1", () => console.log(process.pid + " " + server.address().port));
)js";

class TlsServer {
 public:
  TlsServer() {
    folder_.write("serve.js", kServe);
    run("openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out ca.pem -days 9 -subj '/CN=Private CA' "
        "-addext subjectAltName=IP:127.0.0.1 2>/dev/null");
    run("ln -s ca.pem $(openssl x509 -hash -noout -in ca.pem).0");
    const std::string command = in_folder("exec node serve.js '" + fault::chat_answer("trusted").dump() + "'");
    output_ = ::popen(command.c_str(), "re");
    REQUIRE(output_ != nullptr);
    REQUIRE(std::fscanf(output_, "%d %d", &pid_, &port_) == 2);
  }
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;
  ~TlsServer() {
    if (pid_ > 0) (void)::kill(pid_, SIGTERM);
    if (output_ != nullptr) (void)::pclose(output_);
  }
  [[nodiscard]] std::string url() const { return "https://127.0.0.1:" + std::to_string(port_) + "/v1"; }
  [[nodiscard]] std::string folder() const { return folder_.name(); }
  [[nodiscard]] std::string ca() const { return folder() + "/ca.pem"; }

 private:
  [[nodiscard]] std::string in_folder(const std::string& command) const {
    return "cd '" + folder_.name() + "' && " + command;
  }
  void run(const std::string& command) const { REQUIRE(std::system(in_folder(command).c_str()) == 0); }

  ai_test::Folder folder_;
  std::FILE* output_ = nullptr;
  int pid_ = 0;
  int port_ = 0;
};

// The variables that say what is trusted, and no others; those of before come back.
class Trusting {
 public:
  explicit Trusting(const std::map<std::string, std::string>& variables) {
    for (const char* name : {"CURL_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE", "no_proxy"}) {
      if (const char* value = std::getenv(name)) before_[name] = value;
      before_.try_emplace(name);
      (void)::unsetenv(name);
    }
    (void)::setenv("no_proxy", "127.0.0.1", 1);
    for (const auto& [name, value] : variables) (void)::setenv(name.c_str(), value.c_str(), 1);
  }
  Trusting(const Trusting&) = delete;
  Trusting& operator=(const Trusting&) = delete;
  ~Trusting() {
    for (const auto& [name, value] : before_) {
      (void)::unsetenv(name.c_str());
      if (value) (void)::setenv(name.c_str(), value->c_str(), 1);
    }
  }

 private:
  std::map<std::string, std::optional<std::string>> before_;
};

// Empty: the answer came.
std::string error_with(const TlsServer& server, const std::map<std::string, std::string>& variables) {
  const Trusting trusting(variables);
  TestHost host(ai_test::kPlugin, config(server.url(), json::object(), 0));
  const auto result = host.call("ai.chat", hello());
  host.stop();
  return result ? "" : result.error().message;
}

}  // namespace

TEST_CASE("ai certificates: a private CA is trusted by the variables that the curl tool reads") {
  if (std::system("command -v node >/dev/null && command -v openssl >/dev/null") != 0) {
    test::skip("no node or no openssl");
  }
  const TlsServer server;
  REQUIRE(error_with(server, {{"SSL_CERT_FILE", server.ca()}}).empty());
  REQUIRE(error_with(server, {{"SSL_CERT_DIR", server.folder()}}).empty());
  REQUIRE(error_with(server, {{"CURL_CA_BUNDLE", server.ca()}, {"SSL_CERT_FILE", "/nowhere"}}).empty());
  for (const char* none : {"SSL_CERT_FILE", "CURL_CA_BUNDLE"}) {
    CAPTURE(none);
    const std::string error = error_with(server, {{none, ""}});
    REQUIRE_THAT(error, Contains("cannot be reached") && Contains("certificate") && Contains("SSL_CERT_FILE"));
  }
  REQUIRE_THAT(error_with(server, {{"SSL_CERT_FILE", "/nowhere"}}), Contains("/nowhere"));
}
