// SPDX-License-Identifier: Apache-2.0
#include "plugins/ai/openai_attempt.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <new>
#include <utility>

#include "plugins/ai/provider_words.hpp"

namespace gantry::ai {

namespace {

template <class V>
void set(CURL* easy, CURLoption option, V value) {
  (void)curl_easy_setopt(easy, option, value);
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

// By the curl tool's rules; libcurl itself reads none of these variables.
void trust_as_curl_does(CURL* easy) {
  const auto variable = [&](const char* name, CURLoption option) {
    const char* value = std::getenv(name);
    const bool given = value != nullptr && *value != '\0';
    if (given) set(easy, option, value);
    return given;
  };
  if (variable("CURL_CA_BUNDLE", CURLOPT_CAINFO)) return;
  (void)variable("SSL_CERT_DIR", CURLOPT_CAPATH);
  (void)variable("SSL_CERT_FILE", CURLOPT_CAINFO);
}

bool is_certificate(CURLcode code) {
  return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE;
}

}  // namespace

OpenAiAttempt::OpenAiAttempt(StartAttempt start, Key key)
    : job_(std::move(start.job)),
      target_(std::move(start.target)),
      outlet_(std::move(start.outlet)),
      key_(std::move(key)),
      easy_(curl_easy_init()),
      answer_(job_->kind, job_->stream, [this](const json& item) { outlet_.emit(item); }) {
  if (easy_ == nullptr) throw std::bad_alloc();
  prepare();
}

OpenAiAttempt::~OpenAiAttempt() {
  curl_easy_cleanup(easy_);
  curl_slist_free_all(headers_);
}

void OpenAiAttempt::prepare() {
  url_ = target_.provider->base_url + (job_->kind == Job::Kind::chat ? "/chat/completions" : "/completions");
  request_ = request_body();
  set(easy_, CURLOPT_URL, url_.c_str());
  set(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
  set(easy_, CURLOPT_FOLLOWLOCATION, 0L);
  set(easy_, CURLOPT_NOSIGNAL, 1L);
  trust_as_curl_does(easy_);
  const auto connect = std::chrono::ceil<std::chrono::milliseconds>(target_.provider->connect_timeout);
  set(easy_, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(connect.count()));
  // An attempt that is cancelled must not wait for the name server.
  set(easy_, CURLOPT_QUICK_EXIT, 1L);
  set(easy_, CURLOPT_USERAGENT, "gantry/0.1");
  set(easy_, CURLOPT_POST, 1L);
  set(easy_, CURLOPT_POSTFIELDS, request_.c_str());
  set(easy_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.size()));
  set(easy_, CURLOPT_ERRORBUFFER, error_text_.data());
  set(easy_, CURLOPT_ACCEPT_ENCODING, "");  // whatever libcurl can unpack
  // Servers advertise keep-alive on streams and close the connection all the same.
  if (job_->stream) set(easy_, CURLOPT_FORBID_REUSE, 1L);
  add_header("Content-Type: application/json");
  add_header(job_->stream ? "Accept: text/event-stream" : "Accept: application/json");
  if (job_->stream) add_header("Accept-Encoding: identity");
  add_header("Expect:");
  if (!key_.text.empty()) add_header("Authorization: Bearer " + key_.text);
  set(easy_, CURLOPT_HTTPHEADER, headers_);

  using Callback = std::size_t (*)(char*, std::size_t, std::size_t, void*);
  const Callback body = [](char* data, std::size_t size, std::size_t count, void* self) -> std::size_t {
    try {
      return static_cast<OpenAiAttempt*>(self)->on_body(std::string_view(data, size * count));
    } catch (const std::exception&) {
      return 0;  // an error that libcurl reports as such
    }
  };
  const Callback header = [](char* data, std::size_t size, std::size_t count, void* self) -> std::size_t {
    try {
      static_cast<OpenAiAttempt*>(self)->on_header(std::string_view(data, size * count));
      return size * count;
    } catch (const std::exception&) {
      return 0;
    }
  };
  set(easy_, CURLOPT_WRITEFUNCTION, body);
  set(easy_, CURLOPT_WRITEDATA, this);
  set(easy_, CURLOPT_HEADERFUNCTION, header);
  set(easy_, CURLOPT_HEADERDATA, this);
}

void OpenAiAttempt::add_header(const std::string& line) {
  curl_slist* longer = curl_slist_append(headers_, line.c_str());
  if (longer == nullptr) throw std::bad_alloc();
  headers_ = longer;
}

std::string OpenAiAttempt::request_body() const {
  const std::vector<std::string>& omit = target_.provider->omit;
  std::string body;
  const auto add = [&](const std::string& name, const std::string& text) {
    if (std::find(omit.begin(), omit.end(), name) != omit.end()) return;
    body += (body.empty() ? "{" : ",") + dump_json(name) + ":" + text;
  };
  add("model", dump_json(target_.upstream));
  bool stream_options = false;
  if (job_->kind == Job::Kind::chat) {
    add("messages", job_->messages);
    if (job_->max_tokens) add("max_tokens", std::to_string(*job_->max_tokens));
  } else {
    add("prompt", dump_json(job_->prefix));
    if (!job_->suffix.empty()) add("suffix", dump_json(job_->suffix));
    add("max_tokens", std::to_string(job_->max_tokens.value_or(kDefaultMaxTokens)));
  }
  for (const auto& [name, text] : job_->options) {
    const bool of_stream = name == "stream_options";
    stream_options = stream_options || of_stream;
    if (job_->stream || !of_stream) add(name, text);
  }
  // Some servers stream unless they are told not to.
  add("stream", job_->stream ? "true" : "false");
  if (job_->stream && job_->kind == Job::Kind::chat && !stream_options) {
    add("stream_options", R"({"include_usage":true})");
  }
  return body.empty() ? "{}" : body + "}";
}

void OpenAiAttempt::on_header(std::string_view line) {
  if (line.starts_with("HTTP/")) {
    retry_ = {};
    return;
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return;
  const std::string name = lower(trimmed(line.substr(0, colon)));
  const std::string_view value = trimmed(line.substr(colon + 1));
  read_retry_header(retry_, name, value, std::time(nullptr));
}

std::size_t OpenAiAttempt::on_body(std::string_view bytes) {
  (void)curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status_);
  if (!successful()) {
    if (error_body_.size() + bytes.size() > kMaxErrorBody) return 0;
    error_body_ += bytes;
    return bytes.size();
  }
  if (!outlet_.flush()) {
    paused_ = true;
    return CURL_WRITEFUNC_PAUSE;
  }
  if (auto fed = answer_.feed(bytes); !fed) {
    refused_ = failure(fed.error().what, fed.error().words, false);
    return 0;
  }
  if (answer_.complete()) outlet_.complete();
  return bytes.size();
}

void OpenAiAttempt::resume() {
  if (!outlet_.flush() || !paused_) return;
  paused_ = false;
  (void)curl_easy_pause(easy_, CURLPAUSE_CONT);
}

void OpenAiAttempt::ended(CURLcode code) {
  (void)curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status_);
  if (!outcome_) outcome_.emplace(outcome(code));
}

bool OpenAiAttempt::settle() {
  // After [DONE] nothing follows: servers that leave the connection open are not waited for.
  const bool over = answer_.done() || (answer_.complete() && outlet_.enough());
  if (!outcome_ && over) outcome_.emplace(outcome(CURLE_OK));
  if (!outcome_ || !outlet_.flush()) return false;
  outlet_.finish(std::move(*outcome_));
  return true;
}

Refused OpenAiAttempt::take_refused() {
  return Refused{StartAttempt{std::move(job_), std::move(target_), std::move(outlet_)}, std::move(key_.text),
                 std::move(outcome_->error())};
}

Outcome OpenAiAttempt::outcome(CURLcode code) {
  if (refused_) return std::unexpected(std::move(*refused_));
  if (status_ != 0 && !successful()) {
    std::string what = "answered " + std::to_string(status_);
    if (status_ >= 300 && status_ < 400) what += " (a redirect, which is not followed)";
    return std::unexpected(failure(what, provider_words(error_body_), retryable_status(status_, retry_)));
  }
  const char* words = error_text_[0] != '\0' ? error_text_.data() : curl_easy_strerror(code);
  if (status_ == 0 && code != CURLE_OK) {
    std::string why = words;
    if (is_certificate(code)) {
      why += "; a private CA's certificate is named by SSL_CERT_FILE in the host's environment when the host starts";
    }
    return std::unexpected(failure("cannot be reached", why, retryable_transport(code)));
  }
  auto answer = answer_.end(code == CURLE_OK);
  if (answer) return std::move(*answer);
  NoAnswer& no = answer.error();
  if (no.cut && code != CURLE_OK) no.words = words;
  const bool again =
      no.cut && outlet_.emitted() == 0 && !answer_.begun() && (code == CURLE_OK || retryable_transport(code));
  return std::unexpected(failure(no.what, no.words, again));
}

Failure OpenAiAttempt::failure(std::string_view what, std::string_view words, bool retryable) const {
  Failure out;
  const std::string said = sanitised(words, key_.text);
  out.error.kind = ErrorKind::upstream_failed;
  const std::string url = sanitised(url_, key_.text);
  out.error.message = "provider \"" + target_.provider->name + "\" (" + url + ") " + std::string(what) +
                      (said.empty() ? std::string() : ": " + said);
  json data{{"provider", target_.provider->name}, {"url", url}};
  if (status_ != 0) data["status"] = status_;
  if (retry_.after) {
    data["retry_after_ms"] = std::chrono::ceil<std::chrono::milliseconds>(*retry_.after).count();
  }
  out.error.data = dump_json(data);
  out.retryable = retryable;
  out.retry_after = retry_.after;
  return out;
}

}  // namespace gantry::ai
