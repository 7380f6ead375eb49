// SPDX-License-Identifier: Apache-2.0
//
// host/router/router.hpp: the way of a call from a protocol to the plugin or built-in method that
// answers it, and the one place for policy that holds for every call: grants, permits, deadlines,
// retry of idempotent calls, counts.
//
// Thread rule: any thread; nothing blocks but drain(). Built-in methods are added before the first
// call; the methods of plugins are another table after a reload (plugins_changed()): a call keeps
// the table in which its method was found.
// Permits: each service has `max_calls_per_service` permits and a bounded fair queue behind them;
// `overloaded` when that is full. A stream holds its permit until its response; an attach stream
// takes none.
// Deadlines: a call's is absolute, from `timeout_ms` or the default; a stream has one only if it
// asks; an attach stream never.
// Retry: an idempotent call that is no stream is tried again, at most kRetry.max_retries times and
// within its deadline, when an attempt ended with `unavailable` or `plugin_died`. While its plugin
// backs off the call waits, which is no attempt.
// Never: a call is answered twice, or not at all.
#pragma once

#include <atomic>
#include <functional>
#include <gantry/mutex.hpp>
#include <gantry/permits.hpp>
#include <gantry/retry.hpp>
#include <gantry/snapshot.hpp>
#include <gantry/striped.hpp>
#include <gantry/waiting.hpp>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "host/calls/call.hpp"
#include "host/observe/log.hpp"
#include "host/router/open_calls.hpp"
#include "host/runtime/timers.hpp"
#include "host/services/service_manager.hpp"

namespace gantry::host {

struct RouterLimits {
  std::size_t max_calls_per_service = 64;
  std::size_t max_waiting_per_service = 1024;
  Duration default_timeout = std::chrono::seconds(60);
};

/// The counts of one method.
struct MethodCounts {
  std::uint64_t calls = 0;
  std::uint64_t errors = 0;
  std::uint64_t retries = 0;
  std::uint64_t in_flight = 0;
  Duration total{0};
  Duration longest{0};
};

class Router {
 public:
  static constexpr RetryPolicy kRetry{.max_retries = 2,
                                      .initial_delay = std::chrono::milliseconds(100),
                                      .max_delay = std::chrono::seconds(2),
                                      .jitter = 0.25};
  /// A method that answers at once; it runs on the caller's thread and must not block.
  using Builtin = std::function<Result<std::string>(const CallRequest&)>;
  /// A method that answers later, through the sink.
  using SlowBuiltin = std::function<void(const CallRequest&, std::shared_ptr<CallSink>)>;

  /// `back`: calls a client back.
  Router(ServiceManager& services, Timers& timers, Log& log, RouterLimits limits, MakeCall back = {});
  ~Router();

  void add(ManifestMethod method, Builtin builtin);
  void add_slow(ManifestMethod method, SlowBuiltin builtin);

  /// One thread's access to the table of methods, without a lock or a shared write.
  class MethodReader;
  /// The call is answered exactly once, even when it is refused; perhaps before this returns. Not
  /// for calls to a client.
  void route(const RoutedCallPtr& call, MethodReader& methods);
  /// As route(), for a caller that has only a sink, and for calls to clients.
  CallPtr call(CallRequest request, std::shared_ptr<CallSink> sink);

  /// Reads the methods of plugins from the service manager again.
  void plugins_changed();
  void set_limits(RouterLimits limits);
  /// From now on calls are refused; blocks until the open ones are answered, at most `budget`, then
  /// cancels the rest.
  void drain(Duration budget);

  [[nodiscard]] std::map<std::string, MethodCounts> method_counts() const;
  [[nodiscard]] std::map<std::string, PermitQueue::Counts> permit_counts() const;
  [[nodiscard]] std::vector<ManifestMethod> builtin_methods() const;

 private:
  friend class RoutedCall;
  /// What is known of a method before its first call.
  struct About {
    std::string name;
    ManifestMethod about{};  ///< params and result: only for the host's own methods
    SlowBuiltin run{};       ///< set for the host's own methods; for all others these are set:
    LiveInstance* plugin = nullptr;
    std::shared_ptr<PermitQueue> permits{};  ///< of the method's service; none for an attach stream
    [[nodiscard]] bool is_as(const About& other) const;
  };
  struct Counts {
    std::atomic<std::uint64_t> calls{0}, ended{0}, errors{0}, retries{0}, total_ns{0}, longest_ns{0};
  };
  /// A method with its counts. It lives as long as the router: a call keeps the one that it found.
  struct Method : About {
    explicit Method(About known) : About(std::move(known)) {}
    [[nodiscard]] Counts& counts() { return parts.mine(); }
    void count_end(Duration took, bool failed);
    [[nodiscard]] MethodCounts sum() const;
    Striped<Counts> parts;
  };
  using Methods = std::unordered_map<std::string, Method*>;
  using Permits = std::map<std::string, std::shared_ptr<PermitQueue>, std::less<>>;
  struct Table {
    Methods methods;
    Permits permits;  ///< of each service
  };
  [[nodiscard]] Table with_methods_of_plugins(const Table& old);
  [[nodiscard]] Method* keep(const About& about);
  /// The method that answers the call, or why there is none.
  [[nodiscard]] Result<Method*> method_for(const CallRequest& request, const Table& table) const;
  void route(const RoutedCallPtr& call, const Table& table);
  /// The nearest method names for an unknown one, as the end of a sentence; empty: there is none.
  [[nodiscard]] std::string near_method(const std::string& method) const;
  /// The error for an unknown method.
  [[nodiscard]] Error unknown(const std::string& method) const;
  [[nodiscard]] Deadline deadline_for(const CallRequest& request, const ManifestMethod& method, TimePoint now) const;
  void closed(RoutedCall& call);

  ServiceManager& services_;
  const MakeCall back_;
  Timers& timers_;
  Log& log_;
  Snapshot<Table> table_{Table{}};
  std::atomic<Duration> default_timeout_;
  std::atomic<std::size_t> max_calls_per_service_;
  const std::size_t max_waiting_per_service_;
  OpenCalls open_;  ///< closed when the router drains

  mutable Mutex mutex_;                                                          ///< taken before those of open_
  CondVar changed_;                                                              ///< signalled when a call ends
  std::vector<std::unique_ptr<Method>> every_method_ GANTRY_GUARDED_BY(mutex_);  ///< those of earlier builds included
};

class Router::MethodReader {
 public:
  explicit MethodReader(const Router& router) : table_(router.table_) {}
  /// Before the thread sleeps: what was replaced meanwhile is not kept alive by it.
  void release() { table_.release(); }

 private:
  friend class Router;
  Snapshot<Table>::Reader table_;
};

}  // namespace gantry::host
