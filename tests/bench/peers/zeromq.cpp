// SPDX-License-Identifier: Apache-2.0
//
// ZeroMQ's PUB and SUB over inproc. ct: one thread publishes and then reads each subscriber's socket in turn; mt2: a
// second thread reads them, and says over a PAIR when a burst is through.
#include <sys/resource.h>
#include <zmq.h>

#include "tests/bench/peers/common.hpp"

namespace {

using namespace peer;

class Sockets {
 public:
  explicit Sockets(std::size_t subscribers) {
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
    zmq_ctx_set(context_, ZMQ_MAX_SOCKETS, 2048);
    publisher = open(ZMQ_PUB);
    require(zmq_bind(publisher, "inproc://events") == 0, "bind");
    for (std::size_t i = 0; i < subscribers; ++i) {
      subscriber.push_back(open(ZMQ_SUB));
      require(zmq_connect(subscriber.back(), "inproc://events") == 0, "connect");
      zmq_setsockopt(subscriber.back(), ZMQ_SUBSCRIBE, "", 0);
    }
  }
  ~Sockets() {
    for (void* socket : subscriber) zmq_close(socket);
    zmq_close(publisher);
    zmq_ctx_term(context_);
  }
  void* open(int type) {
    void* socket = zmq_socket(context_, type);
    require(socket != nullptr, "too few sockets or file descriptors");
    constexpr int kUnlimited = 0;  // else PUB drops what it has not yet noticed to be read
    zmq_setsockopt(socket, ZMQ_SNDHWM, &kUnlimited, sizeof kUnlimited);
    zmq_setsockopt(socket, ZMQ_RCVHWM, &kUnlimited, sizeof kUnlimited);
    return socket;
  }
  void publish(u64 first, u64 burst) const {
    for (u64 k = 0; k < burst; ++k) {
      const Message message{0, first + k};
      require(zmq_send(publisher, &message, sizeof message, 0) == sizeof message, "send");
    }
  }
  void receive(u64 first, u64 burst) const {
    Message message;
    for (void* socket : subscriber) {
      for (u64 k = 0; k < burst; ++k) {
        require(zmq_recv(socket, &message, sizeof message, 0) == sizeof message, "receive");
        require(message.sequence == first + k, "an event is lost or out of order");
      }
    }
  }

 private:
  void* context_ = zmq_ctx_new();

 public:
  void* publisher = nullptr;
  std::vector<void*> subscriber;
};

u64 one_thread(u64 burst, std::size_t subscribers, u64 ops, Timer& timer) {
  const u64 bursts = std::max<u64>(1, ops / (burst * subscribers));
  const Sockets sockets(subscribers);
  timer.start();
  for (u64 i = 0; i < bursts; ++i) {
    sockets.publish(i * burst, burst);
    sockets.receive(i * burst, burst);
  }
  timer.stop();
  return burst * bursts * subscribers;
}

u64 two_threads(u64 burst, std::size_t subscribers, u64 ops, Timer& timer) {
  const u64 bursts = std::max<u64>(1, ops / (burst * subscribers));
  Sockets sockets(subscribers);
  void* const waiting = sockets.open(ZMQ_PAIR);
  void* const telling = sockets.open(ZMQ_PAIR);
  require(zmq_bind(waiting, "inproc://over") == 0 && zmq_connect(telling, "inproc://over") == 0, "pair");
  sockets.publish(0, 1);  // the subscriptions are in effect once this was read
  sockets.receive(0, 1);
  Team reader(1, [&](std::size_t) {
    for (u64 i = 0; i < bursts; ++i) {
      sockets.receive(i * burst, burst);
      zmq_send(telling, "", 0, 0);
    }
  });
  timer.start();
  reader.go();
  for (u64 i = 0; i < bursts; ++i) {
    sockets.publish(i * burst, burst);
    require(zmq_recv(waiting, nullptr, 0, 0) == 0, "over");
  }
  timer.stop();
  reader.join();
  zmq_close(waiting);
  zmq_close(telling);
  return burst * bursts * subscribers;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<Workload> all;
  for (const u64 burst : {kBurst, std::size_t{1}}) {
    for (const std::size_t n : {1, 10, 100, 1000}) {
      const std::string name = "broadcast.burst" + std::to_string(burst) + "." + std::to_string(n);
      all.push_back({name + ".ct", "inproc; one thread reads the sockets in turn; no high-water mark",
                     [=](u64 ops, Timer& t) { return one_thread(burst, n, ops, t); }});
      all.push_back({name + ".mt2", "inproc; a second thread reads the sockets in turn; no high-water mark",
                     [=](u64 ops, Timer& t) { return two_threads(burst, n, ops, t); }});
    }
  }
  return run(all, argc, argv);
}
