// SPDX-License-Identifier: Apache-2.0
//
// host/router/origins.hpp: who is connected, by id. Ids are never used again.
//
// Thread rule: any thread.
#pragma once

#include <gantry/json.hpp>
#include <gantry/mutex.hpp>
#include <map>
#include <optional>
#include <string>

#include "host/plugins/call.hpp"

namespace gantry::host {

struct OriginRecord {
  std::string client;
  std::string version;
  std::string workspace;
};

class Origins {
 public:
  [[nodiscard]] OriginId add() {
    Lock lock(mutex_);
    records_.emplace(++last_, OriginRecord{});
    return last_;
  }
  void set(OriginId id, OriginRecord record) {
    Lock lock(mutex_);
    const auto it = records_.find(id);
    if (it != records_.end()) it->second = std::move(record);
  }
  void remove(OriginId id) {
    Lock lock(mutex_);
    records_.erase(id);
  }
  /// {client, version, workspace} as text; empty when it is gone.
  [[nodiscard]] std::optional<std::string> describe(OriginId id) const {
    OriginRecord record;
    {
      Lock lock(mutex_);
      const auto it = records_.find(id);
      if (it == records_.end()) return std::nullopt;
      record = it->second;
    }
    return dump_json({{"client", record.client}, {"version", record.version}, {"workspace", record.workspace}});
  }
  [[nodiscard]] std::size_t size() const {
    Lock lock(mutex_);
    return records_.size();
  }

 private:
  mutable Mutex mutex_;
  OriginId last_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::map<OriginId, OriginRecord> records_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
