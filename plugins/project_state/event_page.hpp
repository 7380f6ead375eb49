// SPDX-License-Identifier: Apache-2.0
//
// event_page.hpp: the events of a page of the log, as subscribers get them. Where they are coalesced, the changes of an
// object within the page are one event, in the place of the last: `from_rev` is that of the first, the merge patches
// are one patch, and `coalesced` says how many events it stands for. An event of another kind (the object was created
// or deleted) keeps what lies before it apart from what lies behind.
//
// Merge patches cannot always be one: what removes a member, or gives it a plain value, and then makes it an object,
// stays two events.
//
// Thread rule: one thread.
#pragma once

#include <cstdint>
#include <gantry/json.hpp>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::state {

/// The merge patch that does what `first` and then `second` do; empty: there is none.
[[nodiscard]] std::optional<json> merge_of_patches(json first, const json& second);

class EventPage {
 public:
  explicit EventPage(bool coalesces) : coalesces_(coalesces) {}

  void add(std::uint64_t seq, const std::string& topic, const std::string& payload);
  [[nodiscard]] std::size_t size() const { return live_; }
  /// Of what was added.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  /// The text of [{seq, topic, payload}].
  [[nodiscard]] std::string text() const;

 private:
  struct Entry {
    std::uint64_t seq = 0;
    std::string topic;
    std::string payload;  ///< empty: a later event stands for it
  };
  [[nodiscard]] std::string coalesced(const std::string& topic, const std::string& payload);

  const bool coalesces_;
  std::vector<Entry> entries_;
  std::map<std::string, std::size_t> last_;  ///< by object, where its last change stands
  std::size_t live_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace gantry::state
