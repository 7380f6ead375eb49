// SPDX-License-Identifier: Apache-2.0
//
// A client that keeps several calls of many kinds open at once, and knows of each what may come of it.
//
// Thread rule: one thread. Nothing of it asserts: what is wrong is collected, for the thread that may say so.
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

/// One call: what is asked, and what may come of it.
struct Act {
  std::string kind;  ///< of its plugin and its shape, for people
  std::string method;
  json params = json::object();
  std::set<std::string> failures{};  ///< kinds of errors that the contract allows here; none: it must succeed
  /// Whether this result is the right one. Absent: only a failure is right.
  std::function<bool(const json& result)> right{};
  /// A notification of this call; false: it is wrong.
  std::function<bool(ChaosClient& client, int id, const std::string& method, const json& params)> hears{};
  int cancel_after = -1;  ///< so many turns of the client; negative: never
};

/// What all clients of a run share.
struct ChaosShared {
  std::atomic<std::int64_t> ledger_tried{0};
  std::atomic<std::int64_t> ledger_acknowledged{0};
};

class ChaosClient {
 public:
  static constexpr std::size_t kDepth = 8;  ///< calls open at once

  using Random = std::mt19937_64;
  using NextAct = std::function<Act(Random& random)>;

  /// Connects and says that it answers. What fails is in wrong().
  ChaosClient(const std::filesystem::path& socket, std::uint64_t seed, NextAct next);
  ChaosClient(const ChaosClient&) = delete;
  ChaosClient& operator=(const ChaosClient&) = delete;
  ~ChaosClient();

  /// Makes calls until `enough` says so, or something is wrong; then waits for what is open, and looks whether anything
  /// comes that nobody waits for.
  void run(const std::function<bool(std::size_t made)>& enough);
  /// One call, to its end.
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
  /// Moves bytes until a message is there; false: nothing came for too long, or the host has closed.
  [[nodiscard]] bool turn();
  void handle(const json& message);
  void answered(const json& message);
  void notified(const std::string& method, const json& params);
  void complain(const std::string& what);
  [[nodiscard]] std::string open_ones() const;

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
/// One of each kind.
[[nodiscard]] std::vector<Act> one_of_each(ChaosClient::Random& random, ChaosShared& shared);

/// What typed.ending may be configured to.
inline const std::vector<std::string> kEndings{"!", "?", "..."};

}  // namespace gantry::host::test
