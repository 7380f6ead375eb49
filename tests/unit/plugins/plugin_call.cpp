// SPDX-License-Identifier: Apache-2.0
//
// A plugin in a process of its own that does not hold its items back, which the sdk cannot be made to be: the link to
// the process is a test double.
#include "host/plugins/plugin_call.hpp"

#include "host/plugins/plugin.hpp"
#include "tests/unit/support/host.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

class NoPort final : public PluginPort {
 public:
  void log(Level /*level*/, std::string_view /*line*/) override {}
  Result<void> publish(std::string /*topic*/, std::string /*epoch*/, std::uint64_t /*seq*/,
                       std::string /*payload*/) override {
    return {};
  }
  std::optional<std::string> describe(OriginId /*origin*/) override { return std::nullopt; }
  CallPtr call(CallRequest /*request*/, std::shared_ptr<CallSink> /*sink*/) override { return CallPtr(new NoCall); }
  void left() override {}
  void subscribe(const std::vector<std::string>& /*patterns*/, std::function<void()> /*wake*/) override {}
  void unsubscribe() override {}
  Go begin_events(std::function<void()> /*again*/) override { return Go::no; }
  void end_events() override {}
  std::optional<Event> take_event() override { return std::nullopt; }
  void event_over(const Event& /*event*/, const std::string& /*failure*/, int /*tries*/) override {}
};

/// What the host sends to the process is kept here, and what the process sends is the test's.
class Process final : public Plugin {
 public:
  explicit Process(Timers& timers) : Plugin({"busy", {}, timers, std::make_shared<NoPort>(), 16 << 20}) {}
  [[nodiscard]] std::int32_t send_item(const PluginCall& call, const std::string& payload) {
    auto msg = detail::make_msg(GANTRY_ITEM, call.id());
    msg.payload = detail::to_bytes(payload);
    return take(msg, {});
  }
  [[nodiscard]] std::int32_t answer(const PluginCall& call) {
    auto msg = detail::make_msg(GANTRY_RESPONSE, call.id());
    msg.payload = detail::to_bytes("{}");
    return take(msg, {});
  }
  bool stop(Duration /*budget*/) override { return true; }
  [[nodiscard]] std::string runs_on() const override { return "child"; }

  std::vector<std::uint16_t> received;  ///< the kinds of the messages
  std::vector<bool> holds;              ///< the process was told that there is no room, or room

 protected:
  bool push(Task task) override {
    task(this);
    return true;
  }
  std::int32_t hand(const gantry_msg& msg, Descriptors /*descriptors*/) override {
    received.push_back(msg.kind);
    return GANTRY_OK;
  }
  [[nodiscard]] bool has_room() const override { return true; }
  [[nodiscard]] bool tries_again() const override { return false; }
  void hold_items(std::uint64_t /*id*/, bool hold) override { holds.push_back(hold); }
};

/// A client that reads nothing until it has room.
class Client final : public CallSink {
 public:
  void item(std::string_view payload) override { items.emplace_back(payload); }
  [[nodiscard]] bool has_room() const override { return room; }
  void item_end() override {}
  void credit(std::uint32_t /*items*/) override {}
  void progress(std::string_view /*payload*/) override {}
  void answered(Result<Answer> answer) override { answers.push_back(std::move(answer)); }

  bool room = false;
  std::vector<std::string> items;
  std::vector<Result<Answer>> answers;
};

struct OpenStream {
  ManualTimers timers;
  std::shared_ptr<Process> process = std::make_shared<Process>(timers);
  std::shared_ptr<Client> client = std::make_shared<Client>();
  PluginCallPtr call;

  explicit OpenStream(std::uint32_t credit) {
    CallRequest request;
    request.method = "busy.count";
    request.stream_credit = credit;
    call = new WithSink<PluginCall>(std::move(request), client);
    REQUIRE(process->open(call));
  }
};

}  // namespace

TEST_CASE("plugin call: items of a process that have no room at the client wait, in order, and before the answer") {
  OpenStream t(100);
  for (int i = 0; i < 3; ++i) REQUIRE(t.process->send_item(*t.call, std::to_string(i)) == GANTRY_OK);
  REQUIRE(t.process->answer(*t.call) == GANTRY_OK);
  REQUIRE(t.client->items.empty());
  REQUIRE(t.client->answers.empty());
  REQUIRE(t.process->holds == std::vector{true});
  t.client->room = true;
  t.call->give_credit(0);
  REQUIRE(t.client->items == std::vector<std::string>{"0", "1", "2"});
  REQUIRE(t.client->answers.size() == 1);
  REQUIRE(t.client->answers.front());
}

TEST_CASE("plugin call: a process that sends on without room loses the call at 64 MiB, and what waited is freed") {
  OpenStream t(1000);
  const std::string item = '"' + std::string((1 << 20) - 2, 'x') + '"';
  for (int i = 0; i < 64; ++i) {
    CAPTURE(i);
    REQUIRE(t.process->send_item(*t.call, item) == GANTRY_OK);
  }
  REQUIRE(t.client->answers.empty());
  REQUIRE(t.process->send_item(*t.call, item) == GANTRY_FULL);
  REQUIRE(t.client->answers.size() == 1);
  REQUIRE(t.client->answers.front().error().kind == ErrorKind::plugin_died);
  REQUIRE(t.process->received.back() == GANTRY_CANCEL);
  REQUIRE(t.process->send_item(*t.call, "1") == GANTRY_CLOSED);
  REQUIRE(t.process->open_calls() == 0);
  t.client->room = true;
  t.call->give_credit(0);
  REQUIRE(t.client->items.empty());
}

TEST_CASE("plugin call: a process that sends an item without credit loses the call") {
  OpenStream t(2);
  t.client->room = true;
  REQUIRE(t.process->send_item(*t.call, "0") == GANTRY_OK);
  REQUIRE(t.process->send_item(*t.call, "1") == GANTRY_OK);
  REQUIRE(t.process->send_item(*t.call, "2") == GANTRY_FULL);
  REQUIRE(t.client->items == std::vector<std::string>{"0", "1"});
  REQUIRE(t.client->answers.size() == 1);
  REQUIRE(t.client->answers.front().error().kind == ErrorKind::plugin_died);
}
