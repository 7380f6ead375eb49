// SPDX-License-Identifier: Apache-2.0
//
// A client that keeps several calls of many kinds open at once, and knows the allowed outcomes of
// each.
//
// Thread rule: one thread. The client asserts nothing: errors are collected, for the thread that
// may assert.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <gantry/framing.hpp>
#include <gantry/json.hpp>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::host::test {

class ChaosClient;

/// One call: the request, and its allowed outcomes.
struct Act {
  std::string kind;  ///< plugin and shape, for people
  std::string method;
  json params = json::object();
  std::set<std::string> failures{};  ///< kinds of errors that the contract allows here; empty: the call must succeed
  /// True: the result is correct. Absent: only a failure is correct.
  std::function<bool(const json& result)> right{};
  /// Checks a notification of this call. False: it is wrong.
  std::function<bool(ChaosClient& client, int id, const std::string& method, const json& params)> hears{};
  int cancel_after = -1;  ///< after this many turns of the client; negative: never
};

/// The state that all clients of a run share.
struct ChaosShared {
  std::atomic<std::int64_t> ledger_tried{0};
  std::atomic<std::int64_t> ledger_acknowledged{0};
  std::atomic<std::uint64_t> answered{0};  ///< calls of all clients
};

class ChaosClient {
 public:
  static constexpr std::size_t kDepth = 8;  ///< calls open at once

  using Random = std::mt19937_64;
  using NextAct = std::function<Act(Random& random)>;

  /// Connects and announces that it answers calls. A failure is in wrong().
  ChaosClient(const std::filesystem::path& socket, std::uint64_t seed, ChaosShared& shared, NextAct next);
  ChaosClient(const ChaosClient&) = delete;
  ChaosClient& operator=(const ChaosClient&) = delete;
  ~ChaosClient();

  /// Makes calls until `enough` returns true, or something is wrong; then waits for the open calls,
  /// and checks that no unexpected message comes.
  void run(const std::function<bool(std::size_t made)>& enough);
  /// Performs one call to its end.
  void perform(Act act);

  void credit(int id, std::uint32_t items);
  void item(int id, const json& item);
  void end(int id);

  [[nodiscard]] const std::vector<std::string>& wrong() const { return wrong_; }
  struct Tally {
    std::size_t right = 0;
    std::map<std::string, std::size_t> failed{};
  };
  [[nodiscard]] const std::map<std::string, Tally>& tallies() const { return tallies_; }

 private:
  struct Open {
    Act act;
    int cancel_in;
  };
  void begin(Act act);
  void send(const json& message);
  void cancel_some();
  /// Moves bytes until a message is there. False: nothing came for too long, or the host has closed
  /// the connection.
  [[nodiscard]] bool turn();
  void handle(const json& message);
  void answered(const json& message);
  void notified(const std::string& method, const json& params);
  void complain(const std::string& what);
  [[nodiscard]] std::string open_ones() const;

  ChaosShared& shared_;
  const NextAct next_;
  Random random_;
  int fd_ = -1;
  int last_id_ = 0;
  std::string unsent_;
  FrameDecoder decoder_{std::size_t{1} << 28, Framing::lines};
  std::map<int, Open> open_;
  std::vector<std::string> wrong_;
  std::map<std::string, Tally> tallies_;
};

/// A call of any kind that the plugins of the chaos configuration serve.
[[nodiscard]] Act any_act(ChaosClient::Random& random, ChaosShared& shared);
/// One call of each kind.
[[nodiscard]] std::vector<Act> one_of_each(ChaosClient::Random& random, ChaosShared& shared);

/// The values that typed.ending may be configured to.
inline const std::vector<std::string> kEndings{"!", "?", "..."};

}  // namespace gantry::host::test
