// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/chaos_client.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace gantry::host::test {

namespace {

constexpr int kTimeoutMs = 60'000;
constexpr std::size_t kMaxComplaints = 10;

[[nodiscard]] std::string shortened(const json& value) { return dump_json(value).substr(0, 400); }

}  // namespace

ChaosClient::ChaosClient(const std::filesystem::path& socket, std::uint64_t seed, ChaosShared& shared, NextAct next)
    : shared_(shared), next_(std::move(next)), random_(seed), fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, socket.c_str(), sizeof address.sun_path - 1);
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    complain("no host answers");
    return;
  }
  (void)::fcntl(fd_, F_SETFL, O_NONBLOCK);
  Act hello{.kind = "hello", .method = "host.hello", .params = {{"client", "chaos"}, {"answers", true}}};
  hello.right = [](const json& result) { return result.contains("epoch"); };
  perform(std::move(hello));
}

ChaosClient::~ChaosClient() { ::close(fd_); }

void ChaosClient::run(const std::function<bool(std::size_t)>& enough) {
  std::size_t made = 0;
  while (wrong_.empty() && (!open_.empty() || !enough(made))) {
    while (open_.size() < kDepth && !enough(made)) {
      begin(next_(random_));
      ++made;
    }
    cancel_some();
    if (!turn()) return;
  }
  // An answer that came twice lies before this one.
  Act last{.kind = "last", .method = "host.services"};
  last.right = [](const json& result) { return result.is_array(); };
  perform(std::move(last));
}

void ChaosClient::perform(Act act) {
  begin(std::move(act));
  while (wrong_.empty() && !open_.empty()) {
    cancel_some();
    if (!turn()) return;
  }
}

void ChaosClient::begin(Act act) {
  const int id = ++last_id_;
  send({{"jsonrpc", "2.0"}, {"id", id}, {"method", act.method}, {"params", act.params}});
  const int cancel_in = act.cancel_after;
  open_.emplace(id, Open{std::move(act), cancel_in});
}

void ChaosClient::credit(int id, std::uint32_t items) {
  send({{"jsonrpc", "2.0"}, {"method", "$/credit"}, {"params", {{"id", id}, {"n", items}}}});
}
void ChaosClient::item(int id, const json& item) {
  send({{"jsonrpc", "2.0"}, {"method", "$/stream"}, {"params", {{"id", id}, {"item", item}}}});
}
void ChaosClient::end(int id) {
  send({{"jsonrpc", "2.0"}, {"method", "$/stream"}, {"params", {{"id", id}, {"end", true}}}});
}

void ChaosClient::send(const json& message) { append_frame(unsent_, Framing::lines, dump_json(message)); }

void ChaosClient::cancel_some() {
  for (auto& [id, open] : open_) {
    if (open.cancel_in < 0 || open.cancel_in-- > 0) continue;
    send({{"jsonrpc", "2.0"}, {"method", "$/cancelRequest"}, {"params", {{"id", id}}}});
  }
}

// It reads while it writes: a host that waits for its client to read would else wait for ever.
bool ChaosClient::turn() {
  std::string_view message;
  if (decoder_.next(message) == FrameDecoder::Status::message) {
    auto parsed = parse_json(message);
    if (!parsed || !parsed->is_object()) {
      complain("no JSON came: " + std::string(message.substr(0, 200)));
      return false;
    }
    handle(*parsed);
    return true;
  }
  bool cancels = false;
  for (const auto& [id, open] : open_) cancels = cancels || open.cancel_in >= 0;
  pollfd state{fd_, static_cast<short>(POLLIN | (unsent_.empty() ? 0 : POLLOUT)), 0};
  const int ready = ::poll(&state, 1, cancels ? 1 : kTimeoutMs);
  if (ready == 0 && !cancels) complain("nothing came for a minute; open are" + open_ones());
  if (ready <= 0) return wrong_.empty();
  if ((state.revents & POLLOUT) != 0) {
    const ssize_t wrote = ::send(fd_, unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
    if (wrote > 0) unsent_.erase(0, static_cast<std::size_t>(wrote));
  }
  if ((state.revents & (POLLIN | POLLHUP)) != 0) {
    constexpr std::size_t kBytes = 64 * 1024;
    const ssize_t got = ::recv(fd_, decoder_.prepare(kBytes), kBytes, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
      complain("the host has closed the connection; open are" + open_ones());
      return false;
    }
    if (got > 0) decoder_.commit(static_cast<std::size_t>(got));
  }
  return true;
}

void ChaosClient::handle(const json& message) {
  const bool asks = message.contains("method");
  if (asks && message.contains("id")) {
    send({{"jsonrpc", "2.0"}, {"id", message["id"]}, {"result", {{"told", message.value("params", json())}}}});
  } else if (asks) {
    notified(message["method"].get<std::string>(), message.value("params", json::object()));
  } else {
    answered(message);
  }
}

void ChaosClient::answered(const json& message) {
  const auto found = open_.find(message.value("id", json()).is_number() ? message["id"].get<int>() : 0);
  if (found == open_.end()) {
    complain("an answer that nobody waits for, or a second one: " + shortened(message));
    return;
  }
  ++shared_.answered;
  const Act act = std::move(found->second.act);
  open_.erase(found);
  Tally& tally = tallies_[act.kind];
  if (message.contains("result")) {
    if (act.right && act.right(message["result"])) {
      ++tally.right;
    } else {
      complain(act.kind + ": a wrong result: " + shortened(message["result"]));
    }
    return;
  }
  const json error = message.value("error", json::object());
  const json data = error.value("data", json::object());
  const auto kind = data.value("kind", std::string("none"));
  ++tally.failed[kind];
  if (!act.failures.contains(kind)) complain(act.kind + ": may not fail so: " + shortened(error));
  if (kind == "overloaded" && !data.contains("retry_after_ms"))
    complain(act.kind + ": overloaded, and does not say for how long: " + shortened(error));
}

void ChaosClient::notified(const std::string& method, const json& params) {
  if (method == "$/progress" || method == "$/cancelRequest") return;
  const auto found = open_.find(params.value("id", 0));
  if (found == open_.end()) {
    if (method == "$/stream") complain("an item of a call that is over: " + shortened(params));
    return;
  }
  const auto& hears = found->second.act.hears;
  if (!hears || !hears(*this, found->first, method, params))
    complain(found->second.act.kind + ": a wrong " + method + ": " + shortened(params));
}

void ChaosClient::complain(const std::string& what) {
  if (wrong_.size() < kMaxComplaints) wrong_.push_back(what);
}

std::string ChaosClient::open_ones() const {
  std::string out;
  for (const auto& [id, open] : open_) out += " " + std::to_string(id) + " (" + open.act.kind + ")";
  return out;
}

}  // namespace gantry::host::test
