// SPDX-License-Identifier: Apache-2.0
//
// openai_attempt.hpp: one HTTP request to an OpenAI-compatible server, as a libcurl transfer.
//
// Only a complete answer is a success (openai_answer.hpp). A failure before any part of the answer
// came may be retried; a later one may not, nor one that the server would only repeat. Redirects
// are not followed, so a key goes to the address that it was given for and nowhere else. libcurl
// handles proxies: the variables http_proxy, https_proxy, all_proxy and no_proxy hold as they do
// for curl, for addresses of this machine too. CURL_CA_BUNDLE, SSL_CERT_DIR and SSL_CERT_FILE hold
// as for the curl tool. When the caller reads no items the transfer is paused, which slows the
// provider down.
//
// Compressed answers are accepted. They are asked for only if the answer comes whole: a compressor
// would hold back the small events of a stream.
//
// A key that a command has printed may have expired. When the server refuses it (401, 403),
// `take_refused` takes the attempt out before its outcome is sent, so that it can be repeated with
// another key.
//
// The attempt measures no time except that of the connection: a machine that is off does not
// answer, and the connection has failed after ProviderConfig::connect_timeout. The request measures
// all other time, and ends an attempt by its control.
//
// Thread rule: the worker's thread; handle() belongs to its curl_multi while the object lives.
// Bounds: those of OpenAiAnswer, for the unpacked answer; kMaxErrorBody bytes of an error's body
// are read.
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

/// The rest of an attempt whose key was refused.
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

  /// The caller reads again: resumes the transfer.
  void resume();
  /// libcurl has finished the transfer.
  void ended(CURLcode code);
  /// True: the outcome is sent; take the handle out of the curl_multi and destroy this object.
  [[nodiscard]] bool settle();

  /// True: the attempt ended by a refused key, which a command has printed.
  [[nodiscard]] bool key_refused() const { return outcome_ && key_.run != 0 && (status_ == 401 || status_ == 403); }
  [[nodiscard]] std::uint64_t key_run() const { return key_.run; }
  /// Called once, when key_refused(), instead of settle().
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
  std::optional<Failure> refused_;  // the bytes that were read cannot be accepted
  std::optional<Outcome> outcome_;
};

}  // namespace gantry::ai
