// SPDX-License-Identifier: Apache-2.0
//
// Compares a plugin in a process of its own with the same plugin inside the host, as a client sees
// it: one script runs against both, and the transcripts must be equal.
//
// Thread rule: one thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/folders.hpp"
#include "tests/integration/daemon.hpp"

namespace gantry::host::test {

/// A client that records its messages and the host's: for each call in the order of arrival, the
/// calls in the order in which they were made, then the calls to the client, then the events. No
/// order is promised between these.
///
/// Replaced in the transcript, because these differ between two runs of the same host:
///   the sandbox's folder            $BOX
///   ids of 32 hexadecimal digits    ID-1, ID-2, ... in the order in which they came
///   members named in kNeverTheSame  their name
///   credits of one call             their sum: how many are sent at once is the choice of the sender
class Talk {
 public:
  explicit Talk(const Sandbox& box);

  /// Calls, and waits for the answer.
  json call(const std::string& method, const json& params = json::object());
  /// Begins a call; with `credit` as a stream.
  int open(const std::string& method, json params = json::object(), std::optional<int> credit = {});
  void credit(int id, int items);
  void item(int id, const json& item);
  void end(int id);
  void cancel(int id);
  /// Waits until `items` items of that call have come in total.
  void hear_items(int id, std::size_t items);
  void hear_end(int id);
  void hear_progress(int id);
  /// Waits until `items` credits of that call have come in total.
  void hear_credit(int id, int items);
  json answer(int id);

  void subscribe(const json& topics);
  /// Waits until `events` events have come in total.
  void hear_events(std::size_t events);

  /// Calls again and again until the result fulfils the condition; not recorded.
  void until(const std::string& method, const json& params, const std::function<bool(const json& result)>& holds);
  /// Of the items of that call only those that `takes` accepts are recorded.
  void only(int id, std::function<bool(const json& item)> takes);
  /// The items of that call that were recorded.
  [[nodiscard]] const std::vector<json>& items(int id) { return spoken_.at(id).items; }

  [[nodiscard]] std::string transcript() const;

 private:
  struct Spoken {
    std::vector<std::string> lines;
    std::function<bool(const json&)> takes{};
    std::vector<json> items{};
    int credit = 0;
    int progress = 0;
    bool ended = false;
    std::optional<json> answer{};
  };
  void send(const json& message);
  void wait(const char* what, const std::function<bool()>& holds);
  void handle(const json& message);
  [[nodiscard]] json plain(const json& value, const std::string& name = {});
  [[nodiscard]] std::string plain_text(std::string text);
  [[nodiscard]] std::string words(const json& value) { return dump_json(plain(value)); }

  const std::string folder_;
  Client client_;
  int last_id_ = 0;
  int last_unwritten_ = -1;
  std::map<int, Spoken> spoken_;
  std::vector<std::string> asked_;
  std::vector<std::string> events_;
  std::map<std::string, std::string> ids_;
};

struct Stage {
  /// The configured plugins by name: paths of libraries, empty for those that come with the host
  std::map<std::string, std::string> plugins;
  std::string config{};  ///< further configuration
  std::function<void(Sandbox& box)> prepare{};
};

using Script = std::function<void(Talk& talk, Sandbox& box)>;

/// Runs the script against a host with all of these plugins inline, and one with a process for
/// each. Shows the differences.
void same_in_both_modes(const Stage& stage, const Script& script);

/// A stage with these plugins of tests/plugins.
[[nodiscard]] inline Stage stage_of(const std::vector<std::string>& names) {
  Stage stage;
  for (const auto& name : names) stage.plugins[name] = gantry::folders::build() + "/tests/plugins/" + name + ".so";
  return stage;
}

}  // namespace gantry::host::test
