// SPDX-License-Identifier: Apache-2.0
#include "host/router/router.hpp"

#include <algorithm>
#include <chrono>
#include <gantry/params.hpp>
#include <utility>

#include "host/router/routed_call.hpp"

namespace gantry::host {

namespace {
/// A call that is over, or that cannot be steered.
class NoCall final : public ActiveCall {
 public:
  [[nodiscard]] Result<void> send_item(std::string) override { return {}; }
  void send_end() override {}
  void give_credit(std::uint32_t) override {}
  void cancel() override {}
};
}  // namespace

Router::Router(ServiceManager& services, Timers& timers, Log& log, RouterLimits limits)
    : services_(services), timers_(timers), log_(log), limits_(limits) {
  for (const auto& spec : services.specs()) {
    if (!spec.manifest) continue;
    for (const auto& service : spec.manifest->services) {
      permits_.emplace(service, PermitQueue::make(limits.max_calls_per_service, limits.max_waiting_per_service));
    }
  }
}

Router::~Router() = default;

void Router::add(ManifestMethod method, Builtin builtin) {
  add_slow(std::move(method),
           [run = std::move(builtin)](const CallRequest& request, const std::shared_ptr<CallSink>& sink) {
             sink->answered(run(request));
           });
}

void Router::add_slow(ManifestMethod method, SlowBuiltin builtin) {
  std::string name = method.name;
  builtins_.insert_or_assign(std::move(name), BuiltinEntry{std::move(method), std::move(builtin)});
}

Result<ServiceManager::Method> Router::resolve(const std::string& method) const {
  auto found = services_.find(method);
  if (found) return found;
  // A typing mistake in one of our own methods deserves the same hint.
  if (found.error().kind == ErrorKind::method_not_found &&
      found.error().message.find("did you mean") == std::string::npos) {
    std::vector<std::string> names;
    names.reserve(builtins_.size());
    for (const auto& [name, unused] : builtins_) names.push_back(name);
    if (const std::string near = nearest_name(method.substr(0, 100), names); !near.empty())
      return fail(found.error().kind, found.error().message + "; did you mean " + near + "?");
  }
  return found;
}

Deadline Router::deadline_for(const CallRequest& request, const ManifestMethod& method) const {
  if (method.attach) return {};
  if (request.deadline.exists() || request.stream_credit || method.keeps_time) return request.deadline;
  Lock lock(mutex_);
  return Deadline(timers_.now() + limits_.default_timeout);
}

std::shared_ptr<ActiveCall> Router::call(CallRequest request, std::shared_ptr<CallSink> sink) {
  bool draining = false;
  {
    Lock lock(mutex_);
    draining = draining_;
  }
  if (draining) {
    sink->answered(fail(ErrorKind::unavailable, "the host is stopping"));
    return std::make_shared<NoCall>();
  }
  if (const auto builtin = builtins_.find(request.method); builtin != builtins_.end()) {
    if (request.stream_credit) {
      sink->answered(fail(ErrorKind::invalid_params, request.method + " is no stream; call it without _meta.stream"));
    } else {
      builtin->second.run(request, std::move(sink));
    }
    return std::make_shared<NoCall>();
  }
  const auto target = resolve(request.method);
  std::optional<Error> refused;
  if (!target) {
    refused = target.error();
  } else if (request.stream_credit && !target->method->stream) {
    refused = Error{ErrorKind::invalid_params, request.method + " is no stream; call it without _meta.stream", {}};
  } else if (!request.stream_credit && target->method->attach) {
    refused = Error{ErrorKind::invalid_params,
                    request.method + R"( is a stream; open it with _meta: {"stream": {"credit": N}})",
                    {}};
  }
  if (refused) {
    sink->answered(std::unexpected(std::move(*refused)));
    return std::make_shared<NoCall>();
  }
  const bool attach = target->method->attach;
  request.deadline = deadline_for(request, *target->method);
  const std::string service = request.method.substr(0, request.method.find('.'));
  auto routed = std::make_shared<RoutedCall>(*this, std::move(request), std::move(sink), target->plugin->name,
                                             target->method->idempotent, attach);
  routed->start(attach ? nullptr : permits_.at(service));
  return routed;
}

void Router::set_limits(RouterLimits limits) {
  {
    Lock lock(mutex_);
    limits_ = limits;
  }
  for (auto& [service, permits] : permits_) permits->set_limit(limits.max_calls_per_service);
}

bool Router::open(const std::shared_ptr<RoutedCall>& call) {
  Lock lock(mutex_);
  if (draining_) return false;
  open_.emplace(call.get(), call);
  return true;
}

void Router::closed(RoutedCall* call) {
  {
    Lock lock(mutex_);
    open_.erase(call);
  }
  changed_.notify_all();
}

void Router::drain(Duration budget) {
  const auto until = std::chrono::steady_clock::now() + budget;
  const auto give_up = [&](bool attach_only) {
    std::vector<std::shared_ptr<RoutedCall>> calls;
    {
      Lock lock(mutex_);
      for (auto& [key, weak] : open_) {
        if (auto call = weak.lock(); call && (!attach_only || call->is_attach())) calls.push_back(std::move(call));
      }
    }
    for (const auto& call : calls) call->give_up(Error{ErrorKind::cancelled, "the host is stopping", {}});
  };
  {
    Lock lock(mutex_);
    draining_ = true;
  }
  give_up(true);  // an attach stream never ends by itself
  {
    Lock lock(mutex_);
    while (!open_.empty()) {
      if (!changed_.wait_until(mutex_, until)) break;
    }
  }
  give_up(false);
}

void Router::count_start(const std::string& method) {
  Lock lock(mutex_);
  auto& counts = counts_[method];
  ++counts.calls;
  ++counts.in_flight;
}

void Router::count_retry(const std::string& method) {
  Lock lock(mutex_);
  ++counts_[method].retries;
}

void Router::count_end(const std::string& method, Duration took, bool failed) {
  Lock lock(mutex_);
  auto& counts = counts_[method];
  --counts.in_flight;
  if (failed) ++counts.errors;
  counts.total += took;
  counts.longest = std::max(counts.longest, took);
}

std::map<std::string, MethodCounts> Router::method_counts() const {
  Lock lock(mutex_);
  return {counts_.begin(), counts_.end()};
}

std::map<std::string, PermitQueue::Counts> Router::permit_counts() const {
  std::map<std::string, PermitQueue::Counts> out;
  for (const auto& [service, permits] : permits_) out.emplace(service, permits->counts());
  return out;
}

std::vector<ManifestMethod> Router::builtin_methods() const {
  std::vector<ManifestMethod> out;
  out.reserve(builtins_.size());
  for (const auto& [name, entry] : builtins_) out.push_back(entry.method);
  return out;
}

}  // namespace gantry::host
