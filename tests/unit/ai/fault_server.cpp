// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/ai/fault_server.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <stdexcept>

namespace fault {

using gantry::json;
using gantry::Lock;

namespace {

int listen_on_loopback(int& port, int backlog = 64) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(fd, backlog) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("no socket for the fault server");
  }
  port = ntohs(address.sin_port);
  return fd;
}

bool send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

}  // namespace

std::string response(int status, const std::string& body, const std::string& headers) {
  return "HTTP/1.1 " + std::to_string(status) + " Status\r\nContent-Type: application/json\r\nConnection: close\r\n" +
         headers + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
std::string response(int status, const json& body, const std::string& headers) {
  return response(status, body.dump(), headers);
}
std::string stream_head() { return "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"; }
std::string event(const json& data) { return "data: " + data.dump() + "\n\n"; }

json chat_answer(const std::string& text) {
  return {
      {"id", "c1"},
      {"choices", {{{"index", 0}, {"message", {{"role", "assistant"}, {"content", text}}}, {"finish_reason", "stop"}}}},
      {"usage", {{"prompt_tokens", 3}, {"completion_tokens", 2}, {"total_tokens", 5}}}};
}
json completion_answer(const std::string& text) {
  return {{"choices", {{{"index", 0}, {"text", text}, {"finish_reason", "stop"}}}}};
}
json delta(const std::string& text) {
  return {{"choices", {{{"index", 0}, {"delta", {{"content", text}}}, {"finish_reason", nullptr}}}}};
}
json delta_end(const std::string& reason) {
  return {{"choices", {{{"index", 0}, {"delta", json::object()}, {"finish_reason", reason}}}}};
}
json piece(const std::string& text, const json& reason) {
  return {{"choices", {{{"index", 0}, {"text", text}, {"finish_reason", reason}}}}};
}

Server::Server(std::vector<Reply> script) : script_(std::move(script)), listener_(listen_on_loopback(port_)) {
  acceptor_ = std::thread([this] { accept_all(); });
}

Server::~Server() {
  {
    Lock lock(mutex_);
    quit_ = true;
    for (const int fd : sockets_) (void)::shutdown(fd, SHUT_RDWR);
  }
  (void)::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  std::vector<std::thread> threads;
  {
    Lock lock(mutex_);
    for (const int fd : sockets_) (void)::shutdown(fd, SHUT_RDWR);
    threads.swap(threads_);
  }
  for (auto& thread : threads) thread.join();
  Lock lock(mutex_);
  for (const int fd : sockets_) (void)::close(fd);
  for (const int fd : wakes_) (void)::close(fd);
  (void)::close(listener_);
}

void Server::accept_all() {
  while (true) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    Lock lock(mutex_);
    if (fd < 0 || quit_) {
      if (fd >= 0) (void)::close(fd);
      return;
    }
    const int wake = ::eventfd(0, EFD_CLOEXEC);
    sockets_.push_back(fd);
    wakes_.push_back(wake);
    threads_.emplace_back([this, fd, wake] { serve(fd, wake); });
  }
}

bool Server::read_request(int fd, Request& request) {
  std::string bytes;
  std::size_t head = std::string::npos;
  std::size_t length = 0;
  while (head == std::string::npos || bytes.size() < head + 4 + length) {
    char buffer[4096];
    const ssize_t got = ::recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) return false;
    bytes.append(buffer, static_cast<std::size_t>(got));
    if (head != std::string::npos) continue;
    head = bytes.find("\r\n\r\n");
    if (head == std::string::npos) continue;
    std::size_t at = bytes.find("\r\n");
    request.line = bytes.substr(0, at);
    while (at < head) {
      const std::size_t end = bytes.find("\r\n", at + 2);
      const std::string line = bytes.substr(at + 2, end - at - 2);
      std::string name = line.substr(0, line.find(':'));
      std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
      request.headers[name] = line.size() > name.size() + 2 ? line.substr(name.size() + 2) : "";
      at = end;
    }
    length = std::stoul(request.headers.contains("content-length") ? request.headers["content-length"] : "0");
  }
  request.text = bytes.substr(head + 4);
  return true;
}

bool Server::wait_released(int fd, int wake) {
  {
    Lock lock(mutex_);
    holding_.push_back(wake);
  }
  changed_.notify_all();
  pollfd fds[2] = {{fd, POLLIN | POLLRDHUP, 0}, {wake, POLLIN, 0}};
  while (::poll(fds, 2, -1) < 0) {
  }
  Lock lock(mutex_);
  std::erase(holding_, wake);
  changed_.notify_all();
  if (fds[1].revents != 0) {
    std::uint64_t count = 0;
    return ::read(wake, &count, sizeof count) == sizeof count;
  }
  ++disconnects_;
  return false;
}

void Server::serve(int fd, int wake) {
  Request request;
  if (!read_request(fd, request)) return;
  const Reply* reply = nullptr;
  {
    Lock lock(mutex_);
    reply = &script_[std::min(requests_.size(), script_.size() - 1)];
    requests_.push_back(std::move(request));
    most_open_ = std::max(most_open_, ++open_);
  }
  changed_.notify_all();
  bool open = true;
  // Closed for the count before the bytes that may let the client go on.
  const auto close_count = [&] {
    if (!std::exchange(open, false)) return;
    Lock lock(mutex_);
    --open_;
  };
  for (std::size_t i = 0; i < reply->size(); ++i) {
    const Step& step = (*reply)[i];
    if (i + 1 == reply->size()) {
      if (step.what == Step::Do::send) close_count();
    }
    if (step.what == Step::Do::send && !send_all(fd, step.bytes)) break;
    if (step.what == Step::Do::hold && !wait_released(fd, wake)) break;
    if (step.what == Step::Do::reset) {
      const linger hard{1, 0};
      (void)::setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
      // A reset needs a close; the descriptor's number is kept by a duplicate of the wake.
      (void)::dup2(wake, fd);
      break;
    }
  }
  close_count();
  (void)::shutdown(fd, SHUT_RDWR);
}

void Server::release() {
  wait_holding(1);
  Lock lock(mutex_);
  const std::uint64_t one = 1;
  const int wake = holding_.front();
  holding_.pop_front();
  (void)!::write(wake, &one, sizeof one);
}

template <class F>
void Server::wait(const char* what, F&& condition) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  Lock lock(mutex_);
  while (!condition()) {
    if (!changed_.wait_until(mutex_, until)) {
      throw std::runtime_error(std::string("the fault server waited in vain for ") + what);
    }
  }
}

void Server::wait_requests(std::size_t count) {
  wait("requests", [&]() GANTRY_NO_TSA { return requests_.size() >= count; });
}
void Server::wait_holding(std::size_t count) {
  wait("held connections", [&]() GANTRY_NO_TSA { return holding_.size() >= count; });
}
void Server::wait_disconnects(std::size_t count) {
  wait("closed connections", [&]() GANTRY_NO_TSA { return disconnects_ >= count; });
}

std::vector<Request> Server::requests() const {
  Lock lock(mutex_);
  return requests_;
}
std::size_t Server::most_at_once() const {
  Lock lock(mutex_);
  return most_open_;
}

Blackhole::Blackhole() {
  sockets_.push_back(listen_on_loopback(port_, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port_));
  for (int i = 0; i < 4; ++i) {
    sockets_.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    (void)::connect(sockets_.back(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  }
}
Blackhole::~Blackhole() {
  for (const int fd : sockets_) (void)::close(fd);
}

int refused_port() {
  int port = 0;
  const int fd = listen_on_loopback(port);
  (void)::close(fd);
  return port;
}

}  // namespace fault
