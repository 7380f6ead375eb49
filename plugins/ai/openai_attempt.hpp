// SPDX-License-Identifier: Apache-2.0
//
// openai_attempt.hpp: one HTTP request to an OpenAI-compatible server, as a libcurl transfer.
//
// Success is told only for an answer that is whole (openai_answer.hpp). What failed before anything
// of the answer came may be tried again; what failed later may not, nor what a server would only
// say again. Redirects are not followed, so a key goes to the address that it was given for and
// nowhere else. Proxies are libcurl's matter: the variables http_proxy, https_proxy, all_proxy and
// no_proxy hold as they do for curl, for addresses of this machine too. CURL_CA_BUNDLE, SSL_CERT_DIR
// and SSL_CERT_FILE hold as for the curl tool. When the caller reads no items the transfer is
// paused, and the provider feels it.
//
// Compressed answers are read. They are asked for where the answer comes whole; of a stream a
// compressor would hold back the small events.
//
// A key that a command has printed may have expired. When the server refuses it (401, 403) the attempt can be taken out
// (`take_refused`) before its outcome is sent, to be made once more with another key.
//
// Time is not measured here but for the way to the server: a machine that is off does not answer, and
// the connection has failed when ProviderConfig::connect_timeout has passed. All other time is the
// request's, which ends an attempt by its control.
//
// Thread rule: the worker's thread; handle() belongs to its curl_multi while the object lives.
// Bounds: those of OpenAiAnswer, once an answer is unpacked; kMaxErrorBody of an error's body are
// read.
#pragma once

#include <curl/curl.h>

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "plugins/ai/http_retry.hpp"
#include "plugins/ai/job.hpp"
#include "plugins/ai/keys.hpp"
#include "plugins/ai/openai_answer.hpp"

namespace gantry::ai {

/// What is left of an attempt whose key was refused.
struct Refused {
  StartAttempt start;
  std::string key;
  Failure failure;
};

class OpenAiAttempt {
 public:
  static constexpr std::size_t kMaxErrorBody = 64U << 10U;

  OpenAiAttempt(StartAttempt start, Key key);
  OpenAiAttempt(const OpenAiAttempt&) = delete;
  OpenAiAttempt& operator=(const OpenAiAttempt&) = delete;
  ~OpenAiAttempt();

  [[nodiscard]] CURL* handle() const { return easy_; }
  [[nodiscard]] Outlet& outlet() { return outlet_; }

  /// Goes on when the caller reads again.
  void resume();
  /// libcurl is done with the transfer.
  void ended(CURLcode code);
  /// True: the outcome is sent; take the handle out of the curl_multi and destroy this.
  [[nodiscard]] bool settle();

  /// It has ended so, and its key is one that a command has printed.
  [[nodiscard]] bool key_refused() const { return outcome_ && key_.run != 0 && (status_ == 401 || status_ == 403); }
  [[nodiscard]] std::uint64_t key_run() const { return key_.run; }
  /// Once, when key_refused(), instead of settle().
  [[nodiscard]] Refused take_refused();
  [[nodiscard]] const ProviderConfig& provider() const { return *target_.provider; }

 private:
  void prepare();
  void add_header(const std::string& line);
  [[nodiscard]] std::string request_body() const;
  [[nodiscard]] std::size_t on_body(std::string_view bytes);
  void on_header(std::string_view line);
  [[nodiscard]] bool successful() const { return status_ >= 200 && status_ < 300; }
  [[nodiscard]] Outcome outcome(CURLcode code);
  [[nodiscard]] Failure failure(std::string_view what, std::string_view words, bool retryable) const;

  std::shared_ptr<const Job> job_;
  Target target_;
  Outlet outlet_;
  Key key_;

  CURL* easy_;
  curl_slist* headers_ = nullptr;
  std::string url_;
  std::string request_;
  std::array<char, CURL_ERROR_SIZE> error_text_{};

  long status_ = 0;
  RetryHeaders retry_;
  bool paused_ = false;
  std::string error_body_;
  OpenAiAnswer answer_;
  std::optional<Failure> refused_;  // what was read cannot be accepted
  std::optional<Outcome> outcome_;
};

}  // namespace gantry::ai
