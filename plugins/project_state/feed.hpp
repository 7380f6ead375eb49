// SPDX-License-Identifier: Apache-2.0
//
// feed.hpp: what subscribers to the state are sent: pages of the log from a point on and, where the log does not go
// back that far, all objects as of one point first.
//
// A place in a feed is a JSON object that the host passes back: {epoch, seq}, which is a point of the log, or that with
// `snapshot`, the part of a snapshot that comes next. docs/plugin-authors.md ("A log that subscribers resume") has the
// shapes.
//
// Thread rule: that of the Database.
// Bounds: kMaxScopes scopes; a page has kMaxPageEvents events and kMaxPageBytes, or one event that is larger, of
// kMaxScanned events of the log; of a snapshot at most as many objects, or 4 MiB.
#pragma once

#include <cstdint>
#include <gantry/json.hpp>
#include <gantry/params.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/project_state/pages.hpp"
#include "plugins/project_state/scope.hpp"
#include "plugins/project_state/transaction.hpp"

namespace gantry::state {

/// How live events are sent.
struct Pace {
  static constexpr std::int64_t kMaxDebounceMs = 10'000;
  std::int64_t debounce_ms = 0;  ///< not more often than this; what has gathered is coalesced. 0: at once
  bool coalesces = true;         ///< while the client is behind
};

/// What a page may have.
struct FeedPage {
  bool coalesces = false;  ///< see event_page.hpp
  std::size_t bytes = 0;   ///< about so much at most, or one event
};

/// The scopes of a subscription.
class Feed {
 public:
  static constexpr std::size_t kMaxScopes = 64;
  static constexpr std::uint64_t kMaxPageEvents = 256;
  static constexpr std::size_t kMaxPageBytes = 1 << 20;
  static constexpr std::uint64_t kMaxScanned = 4096;

  /// `names`: as read_scope_name() knows them, and `metrics`, which has events but no objects.
  [[nodiscard]] static Result<Feed> of(std::vector<std::string> names);

  /// True: the event belongs to one of the scopes, or concerns all of them.
  [[nodiscard]] bool has(std::string_view topic, const std::string& payload) const;
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
  /// For the host: the topics of events that has() all, those of which it may have some, and what is in their text.
  [[nodiscard]] json follow(json from, const Pace& pace) const;

 private:
  std::vector<std::string> names_;
  std::vector<StateScope> scopes_;  ///< without `metrics`
  bool metrics_ = false;
};

/// {mode, reason?, epoch, seq, follow}: how a subscriber that knows the log up to `since` goes on.
[[nodiscard]] json begin_feed(const Ledger& ledger, const Feed& feed, const std::optional<json>& since,
                              const Pace& pace);

/// The text of {epoch, head, covered, events: [{seq, topic, payload}], from?}: what follows the place `from`;
/// `covered`: all events up to there are in this page or were before it; the new `from` is there while more can be read
/// at once. Without a feed: all events of the log; a place that is not in the log is then `not_found` with {reason}.
[[nodiscard]] Result<std::string> feed_page(Database& db, const Ledger& ledger, const std::optional<Feed>& feed,
                                            const json& from, const FeedPage& page);

/// {scope, items, next_cursor?, epoch, seq}: a page of the objects of the scope; all pages are as of the first one.
[[nodiscard]] Result<json> snapshot_page(Database& db, const Ledger& ledger, const std::string& scope,
                                         const PageOf& page);

}  // namespace gantry::state
