// SPDX-License-Identifier: Apache-2.0
//
// host/router/router.hpp: the way of a call from a protocol to whoever answers it, and the one place
// for policy that holds for every call: what plugins are granted, permits, deadlines, retry of
// idempotent calls, counts.
//
// Thread rule: any thread; nothing blocks but drain(). Built-in methods are added before the first call; those of
// plugins are another table after a reload (plugins_changed()): a call keeps the one in which it was found. Permits:
// each service has `max_calls_per_service` of them and a bounded fair queue behind; `overloaded` when that is full.
//   A stream holds its permit until its response; an attach stream takes none.
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
#include "host/runtime/timers.hpp"
#include "host/services/service_manager.hpp"

namespace gantry::host {

struct RouterLimits {
  std::size_t max_calls_per_service = 64;
  std::size_t max_waiting_per_service = 1024;
  Duration default_timeout = std::chrono::seconds(60);
};

/// Counts of one method.
struct MethodCounts {
  std::uint64_t calls = 0;
  std::uint64_t errors = 0;
  std::uint64_t retries = 0;
  std::uint64_t in_flight = 0;
  Duration total{0};
  Duration longest{0};
};

class RoutedCall;
using RoutedCallPtr = boost::intrusive_ptr<RoutedCall>;

class Router {
 public:
  static constexpr RetryPolicy kRetry{.max_retries = 2,
                                      .initial_delay = std::chrono::milliseconds(100),
                                      .max_delay = std::chrono::seconds(2),
                                      .jitter = 0.25};
  /// Answers at once; runs on the caller's thread and must not block.
  using Builtin = std::function<Result<std::string>(const CallRequest&)>;
  /// Answers later, through the sink.
  using SlowBuiltin = std::function<void(const CallRequest&, std::shared_ptr<CallSink>)>;

  /// `back`: how a client is called back.
  Router(ServiceManager& services, Timers& timers, Log& log, RouterLimits limits, MakeCall back = {});
  ~Router();

  void add(ManifestMethod method, Builtin builtin);
  void add_slow(ManifestMethod method, SlowBuiltin builtin);

  /// The methods as one thread reads them, without a lock or a shared write.
  class MethodReader;
  /// The call is answered exactly once, also when it is refused; perhaps before this returns. Not
  /// one to a client.
  void route(const RoutedCallPtr& call, MethodReader& methods);
  /// The same for who has a sink only, and for calls to clients.
  CallPtr call(CallRequest request, std::shared_ptr<CallSink> sink);

  /// Takes the methods of plugins from the service manager again.
  void plugins_changed();
  void set_limits(RouterLimits limits);
  /// From now on calls are refused; blocks until the open ones are answered, at most `budget`, then cancels the rest.
  void drain(Duration budget);

  [[nodiscard]] std::map<std::string, MethodCounts> method_counts() const;
  [[nodiscard]] std::map<std::string, PermitQueue::Counts> permit_counts() const;
  [[nodiscard]] std::vector<ManifestMethod> builtin_methods() const;

 private:
  friend class RoutedCall;
  /// What is known of a method before its first call.
  struct About {
    std::string name;
    ManifestMethod about{};  ///< its params and result: of the host's own only
    SlowBuiltin run{};       ///< the host's own; else these:
    LiveInstance* plugin = nullptr;
    std::shared_ptr<PermitQueue> permits{};  ///< of its service; none for an attach stream
    [[nodiscard]] bool is_as(const About& other) const;
  };
  struct Counts {
    std::atomic<std::uint64_t> calls{0}, ended{0}, errors{0}, retries{0}, total_ns{0}, longest_ns{0};
  };
  /// And counted. It lives as long as the router: a call keeps the one in which it was found.
  struct Method : About {
    explicit Method(About known) : About(std::move(known)) {}
    [[nodiscard]] Counts& counts() { return parts.mine(); }
    void count_end(Duration took, bool failed);
    [[nodiscard]] MethodCounts sum() const;
    Striped<Counts> parts;
  };
  /// Of the calls that are open, those that a few threads have brought: none takes another one's
  /// lock.
  struct Part {
    Mutex mutex{"open calls"};
    gantry::detail::NodeList<RoutedCall> open GANTRY_GUARDED_BY(mutex);
  };
  using Methods = std::unordered_map<std::string, Method*>;
  using Permits = std::map<std::string, std::shared_ptr<PermitQueue>, std::less<>>;
  struct Table {
    Methods methods;
    Permits permits;  ///< of each service
  };
  [[nodiscard]] Table with_methods_of_plugins(const Table& old);
  [[nodiscard]] Method* keep(const About& about);
  /// Who answers this; or why nobody does.
  [[nodiscard]] Result<Method*> method_for(const CallRequest& request, const Table& table) const;
  void route(const RoutedCallPtr& call, const Table& table);
  /// What may have been meant by a method that there is not, as the end of a sentence; empty: nothing is near it.
  [[nodiscard]] std::string near_method(const std::string& method) const;
  /// Why there is no such method.
  [[nodiscard]] Error unknown(const std::string& method) const;
  [[nodiscard]] Deadline deadline_for(const CallRequest& request, const ManifestMethod& method, TimePoint now) const;
  /// False: the host is stopping.
  [[nodiscard]] bool open(RoutedCall& call);
  void closed(RoutedCall& call);
  [[nodiscard]] bool none_is_open();

  ServiceManager& services_;
  const MakeCall back_;
  Timers& timers_;
  Log& log_;
  Snapshot<Table> table_{Table{}};
  std::atomic<Duration> default_timeout_;
  std::atomic<std::size_t> max_calls_per_service_;
  const std::size_t max_waiting_per_service_;
  std::atomic<bool> draining_{false};

  Striped<Part> parts_;
  mutable Mutex mutex_;                                                          ///< above a part's
  CondVar changed_;                                                              ///< fewer are open, while it drains
  std::vector<std::unique_ptr<Method>> every_method_ GANTRY_GUARDED_BY(mutex_);  ///< also of builds before
};

class Router::MethodReader {
 public:
  explicit MethodReader(const Router& router) : reader_(router.table_) {}

 private:
  friend class Router;
  Snapshot<Table>::Reader reader_;
};

}  // namespace gantry::host
