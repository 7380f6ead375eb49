// SPDX-License-Identifier: Apache-2.0
//
// tests/unit/ai/fault_server.hpp: a real HTTP server on 127.0.0.1 that answers as a script says,
// correctly or not.
//
// The n-th request gets the n-th reply of the script; requests beyond its end get the last reply. A
// reply is a list of steps; after the last step the connection is closed. Waits throw after 20 s;
// nothing sleeps.
//
// Thread rule: any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <gantry/json.hpp>
#include <gantry/mutex.hpp>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace fault {

struct Step {
  enum class Do { send, hold, reset } what = Do::send;
  std::string bytes;
};
using Reply = std::vector<Step>;

/// Waits until release(), or until the client closes the connection.
inline Step hold() { return Step{Step::Do::hold, {}}; }
/// Closes with a TCP reset.
inline Step reset() { return Step{Step::Do::reset, {}}; }
inline Step send(std::string bytes) { return Step{Step::Do::send, std::move(bytes)}; }

/// A whole response. `headers`: further lines, each with its CRLF.
std::string response(int status, const std::string& body, const std::string& headers = "");
std::string response(int status, const gantry::json& body, const std::string& headers = "");
/// The head of an event stream that ends when the connection closes.
std::string stream_head();
std::string event(const gantry::json& data);
inline std::string done() { return "data: [DONE]\n\n"; }

/// Bodies in the form of OpenAI-compatible servers.
gantry::json chat_answer(const std::string& text);
gantry::json completion_answer(const std::string& text);
gantry::json delta(const std::string& text);
gantry::json delta_end(const std::string& reason = "stop");
gantry::json piece(const std::string& text, const gantry::json& reason = nullptr);

struct Request {
  std::string line;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string text;
  [[nodiscard]] gantry::json body() const { return gantry::json::parse(text); }
};

class Server {
 public:
  explicit Server(std::vector<Reply> script);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/v1"; }
  /// Releases the connection that has been held longest.
  void release();

  /// Waits until at least `count` requests have arrived.
  void wait_requests(std::size_t count);
  void wait_holding(std::size_t count);
  /// Waits until the client has closed `count` connections that were held.
  void wait_disconnects(std::size_t count);

  [[nodiscard]] std::vector<Request> requests() const;
  /// The largest number of requests that were open at once.
  [[nodiscard]] std::size_t most_at_once() const;

 private:
  void accept_all();
  void serve(int fd, int wake);
  [[nodiscard]] bool read_request(int fd, Request& request);
  [[nodiscard]] bool wait_released(int fd, int wake);
  template <class F>
  void wait(const char* what, F&& condition);

  const std::vector<Reply> script_;
  int port_ = 0;  // before the listener, which sets it
  int listener_ = -1;
  mutable gantry::Mutex mutex_;
  gantry::CondVar changed_;
  std::vector<Request> requests_ GANTRY_GUARDED_BY(mutex_);
  std::deque<int> holding_ GANTRY_GUARDED_BY(mutex_);
  std::vector<int> sockets_ GANTRY_GUARDED_BY(mutex_);
  std::vector<int> wakes_ GANTRY_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_ GANTRY_GUARDED_BY(mutex_);
  std::size_t open_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::size_t most_open_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::size_t disconnects_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool quit_ GANTRY_GUARDED_BY(mutex_) = false;
  std::thread acceptor_;
};

/// An address that neither accepts nor refuses connections, like a machine that is off: its queue
/// is full.
class Blackhole {
 public:
  Blackhole();
  Blackhole(const Blackhole&) = delete;
  Blackhole& operator=(const Blackhole&) = delete;
  ~Blackhole();
  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/v1"; }

 private:
  std::vector<int> sockets_;
  int port_ = 0;
};

/// A port that nobody listens on.
int refused_port();

}  // namespace fault
