// SPDX-License-Identifier: Apache-2.0
//
// gathered_message.hpp: adds the deltas of a stream up to one message.
//
// Content is joined. Tool calls are joined by their index; pieces without an index go by their id,
// else to the last call. Two calls may share an index: a piece begins another call when it brings
// another id, or, without ids, another name, or the same name once the arguments before it are
// complete. A name or an id may come after the first piece. All other members are merged: texts are
// joined, objects member by member, arrays by `index` or one behind the other.
//
// Thread rule: one thread.
// Bounds: the caller bounds size().
#pragma once

#include <cstddef>
#include <gantry/json.hpp>
#include <string>
#include <string_view>

namespace gantry::ai {

/// Servers send content as a text, or as an array of parts. An array becomes the text of its text
/// parts; the other parts are kept, in order, as `content_parts`.
void flatten_content(json& message);

/// True: null, or an empty text, array or object.
[[nodiscard]] bool says_nothing(const json& value);

class GatheredMessage {
 public:
  void add(const json& delta);
  /// True: nothing but a role has come.
  [[nodiscard]] bool empty() const { return text_.empty() && !said_; }
  /// About how many bytes are kept. Text that a later piece replaces does not count.
  [[nodiscard]] std::size_t size() const { return size_; }
  /// The message; it always has a role and a content.
  [[nodiscard]] json take();

 private:
  /// The member of that name, which is counted when it is new.
  [[nodiscard]] json& at(json& object, const std::string& name);
  void merge(json& into, const json& piece, std::string_view name);
  void add_tool_calls(const json& pieces);
  [[nodiscard]] json& call_of(const json& piece);

  std::size_t size_ = 0;
  std::string text_;
  bool said_ = false;
  json message_ = json::object();
};

}  // namespace gantry::ai
