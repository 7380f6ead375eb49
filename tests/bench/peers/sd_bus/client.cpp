// SPDX-License-Identifier: Apache-2.0
//
// load-sd-bus SOCKET CONNECTIONS DEPTH [broker]: asynchronous calls by systemd's sd-bus on one
// thread, each with a time-out; to the peer on the socket (broker: to the service on the message
// bus there).
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "tests/bench/peers/echo_load.hpp"
#include "tests/bench/peers/sd_bus/connections.hpp"

namespace {

using namespace sd_bus_echo;

void require(int result, const char* what) {
  if (result < 0) echo_load::fail(std::string(what) + ": " + std::strerror(-result));
}

class BusClient : public echo_load::Client {
 public:
  explicit BusClient(const echo_load::Load& load)
      : Client(load), broker_(load.has("broker")), slots_(load.connections * load.depth) {
    for (std::size_t i = 0; i < slots_.size(); ++i) slots_[i] = {this, i};
    for (std::size_t i = 0; i < load.connections; ++i) {
      buses_.push_back(connect());
      if (!connections_.add(buses_.back())) echo_load::fail("a connection is closed");
    }
  }

 private:
  struct Slot {
    BusClient* client;
    std::size_t index;
  };

  [[nodiscard]] sd_bus* connect() {
    sd_bus* bus = nullptr;
    require(sd_bus_new(&bus), "sd_bus_new");
    require(sd_bus_set_address(bus, ("unix:path=" + load().socket).c_str()), "sd_bus_set_address");
    require(sd_bus_set_bus_client(bus, broker_ ? 1 : 0), "sd_bus_set_bus_client");
    require(sd_bus_start(bus), "sd_bus_start");
    require(sd_bus_set_method_call_timeout(
                bus, std::chrono::duration_cast<std::chrono::microseconds>(echo_load::kTimeout).count()),
            "sd_bus_set_method_call_timeout");
    if (broker_) wait_for_service(bus);
    return bus;
  }
  void wait_for_service(sd_bus* bus) {
    const auto until = echo_load::Clock::now() + echo_load::kTimeout;
    while (sd_bus_get_name_creds(bus, kName, 0, nullptr) < 0) {
      if (echo_load::Clock::now() > until) echo_load::fail("no service on the bus");
      ::usleep(1000);
    }
  }

  void ask(std::size_t slot, std::uint64_t n) override {
    require(sd_bus_call_method_async(buses_[slot / load().depth], nullptr, broker_ ? kName : nullptr, kPath, kInterface,
                                     "Echo", on_reply, &slots_[slot], "ts", n, text().c_str()),
            "sd_bus_call_method_async");
    started_ = true;
  }
  void wait() override {
    if (std::exchange(started_, false)) {
      // A call that was started outside a callback may be in the connection's own queue still.
      if (!connections_.process_all()) echo_load::fail("a connection is closed");
      started_ = false;  // a call that a reply started was processed with its connection
      return;
    }
    const auto happened = connections_.wait(static_cast<int>(std::chrono::milliseconds(echo_load::kTimeout).count()));
    started_ = false;
    if (happened == Connections::Happened::kNothing) echo_load::fail("no answer in time");
    if (happened == Connections::Happened::kClosed) echo_load::fail("a connection is closed");
  }
  static int on_reply(sd_bus_message* reply, void* data, sd_bus_error*) {
    if (const auto* error = sd_bus_message_get_error(reply); error != nullptr)
      echo_load::fail(std::string("a call failed: ") + (error->message != nullptr ? error->message : error->name));
    std::uint64_t n = 0;
    const char* text = nullptr;
    require(sd_bus_message_read(reply, "ts", &n, &text), "sd_bus_message_read");
    const auto& slot = *static_cast<Slot*>(data);
    slot.client->answered(slot.index, n, text);
    return 0;
  }

  const bool broker_;
  bool started_ = false;
  std::vector<Slot> slots_;
  std::vector<sd_bus*> buses_;
  Connections connections_;
};

}  // namespace

int main(int argc, char** argv) {
  BusClient client(echo_load::Load(argc, argv));
  return client.run();
}
