// SPDX-License-Identifier: Apache-2.0
//
// host/calls/origins.hpp: the clients and plugins that are connected, by id. Ids are never used
// again.
//
// Thread rule: any thread.
#pragma once

#include <gantry/json.hpp>
#include <gantry/mutex.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "host/calls/call.hpp"

namespace gantry::host {

struct OriginRecord {
  std::string client;
  std::string version;
  std::string workspace;
};

class Origins {
 public:
  [[nodiscard]] OriginId add(OriginRecord record = {}) {
    Lock lock(mutex_);
    records_.emplace(++last_, Entry{std::move(record), nullptr});
    return last_;
  }
  /// Sets how the client is called back; without this it cannot be.
  void answers(OriginId id, MakeCall call) {
    Lock lock(mutex_);
    const auto it = records_.find(id);
    if (it != records_.end()) it->second.call = std::make_shared<const MakeCall>(std::move(call));
  }
  /// Calls back `request.client`. `unavailable`: the client is gone. `method_not_found`: it takes
  /// no calls.
  [[nodiscard]] CallPtr call(CallRequest request, std::shared_ptr<CallSink> sink) const {
    std::shared_ptr<const MakeCall> call;
    bool known = false;
    {
      Lock lock(mutex_);
      const auto it = records_.find(request.client);
      known = it != records_.end();
      if (known) call = it->second.call;
    }
    if (call) return (*call)(std::move(request), std::move(sink));
    sink->answered(known ? fail(ErrorKind::method_not_found, "who called is no client, and takes no calls back")
                         : fail(ErrorKind::unavailable, "the client is gone"));
    return CallPtr(new NoCall);
  }
  void set(OriginId id, OriginRecord record) {
    Lock lock(mutex_);
    const auto it = records_.find(id);
    if (it != records_.end()) it->second.record = std::move(record);
  }
  void remove(OriginId id) {
    Lock lock(mutex_);
    records_.erase(id);
  }
  /// {client, version, workspace} as text; empty: the client or plugin is gone.
  [[nodiscard]] std::optional<std::string> describe(OriginId id) const {
    OriginRecord record;
    {
      Lock lock(mutex_);
      const auto it = records_.find(id);
      if (it == records_.end()) return std::nullopt;
      record = it->second.record;
    }
    return dump_json({{"client", record.client}, {"version", record.version}, {"workspace", record.workspace}});
  }
  [[nodiscard]] std::size_t size() const {
    Lock lock(mutex_);
    return records_.size();
  }

 private:
  struct Entry {
    OriginRecord record;
    std::shared_ptr<const MakeCall> call;
  };
  mutable Mutex mutex_;
  OriginId last_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::map<OriginId, Entry> records_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
