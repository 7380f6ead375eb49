// SPDX-License-Identifier: Apache-2.0
//
// gantry/plugin/stream.hpp: a call whose items have one type. A handler that takes a Stream<Item>
// thereby declares that its method may be opened as a stream, and the schema of its items.
//
// Thread rule: as Call.
#pragma once

#include <gantry/plugin/call.hpp>

#include <gantry/fields.hpp>
#include <string>
#include <utility>

namespace gantry {

template <class Item>
class Stream : public Call {
 public:
  explicit Stream(Call call) : Call(std::move(call)) {}

  /// As Call::item: `overloaded` when the caller gives no credit and the outbox is full.
  Result<void> item(const Item& value) { return Call::item(to_json(value)); }
  /// As Call::send_raw: waits for room. Not on the plugin's strand.
  Result<void> send(const Item& value) { return send_raw(dump_json(to_json(value))); }
};

}  // namespace gantry
