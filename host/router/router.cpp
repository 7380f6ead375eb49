// SPDX-License-Identifier: Apache-2.0
#include "host/router/router.hpp"

#include <algorithm>
#include <chrono>
#include <gantry/params.hpp>
#include <utility>

#include "host/router/routed_call.hpp"

namespace gantry::host {

namespace {

[[nodiscard]] std::string service_of(const std::string& method) { return method.substr(0, method.find('.')); }

}  // namespace

Router::Router(ServiceManager& services, Timers& timers, Log& log, RouterLimits limits, MakeCall back)
    : services_(services),
      back_(std::move(back)),
      timers_(timers),
      log_(log),
      default_timeout_(limits.default_timeout),
      max_calls_per_service_(limits.max_calls_per_service),
      max_waiting_per_service_(limits.max_waiting_per_service) {
  plugins_changed();
}

Router::~Router() = default;

void Router::plugins_changed() {
  table_.update([this](const Table& old) { return with_methods_of_plugins(old); });
}

// What is as it was keeps its counts, and services their permits.
Router::Table Router::with_methods_of_plugins(const Table& old) const {
  Table next;
  for (const auto& [name, method] : old.methods) {
    if (method->run) next.methods.emplace(name, method);
  }
  const auto plugins = services_.table();
  for (const auto& spec : plugins->specs()) {
    if (!spec.manifest) continue;
    for (const auto& service : spec.manifest->services) {
      const auto known = old.permits.find(service);
      next.permits.emplace(service, known != old.permits.end()
                                        ? known->second
                                        : PermitQueue::make(max_calls_per_service_, max_waiting_per_service_));
    }
    for (const auto& [name, declared] : spec.manifest->methods) {
      if (spec.refusal() || plugins->of_service(service_of(name)) != &spec) continue;  // or another plugin has it
      auto method = std::make_shared<Method>();
      method->name = name;
      auto& about = method->about;
      about.name = name;
      about.idempotent = declared.idempotent;
      about.keeps_time = declared.keeps_time;
      about.stream = declared.stream;
      about.attach = declared.attach;
      method->plugin = services_.instance(spec.name);
      if (!about.attach) method->permits = next.permits.at(service_of(name));
      if (const auto known = old.methods.find(name); known != old.methods.end() && method->is_as(*known->second))
        method = known->second;
      next.methods.emplace(name, std::move(method));
    }
  }
  return next;
}

bool Router::Method::is_as(const Method& other) const {
  return !other.run && plugin == other.plugin && permits == other.permits &&
         about.idempotent == other.about.idempotent && about.keeps_time == other.about.keeps_time &&
         about.stream == other.about.stream && about.attach == other.about.attach;
}

void Router::add(ManifestMethod method, Builtin builtin) {
  add_slow(std::move(method),
           [run = std::move(builtin)](const CallRequest& request, const std::shared_ptr<CallSink>& sink) {
             sink->answered(run(request));
           });
}

void Router::add_slow(ManifestMethod method, SlowBuiltin builtin) {
  auto entry = std::make_shared<Method>();
  entry->name = method.name;
  entry->about = std::move(method);
  entry->run = std::move(builtin);
  table_.update([&](const Table& old) {
    Table next = old;
    next.methods.insert_or_assign(entry->name, entry);
    return next;
  });
}

// Of a service that is mistyped as well; else what there is of the service that is meant.
std::string Router::near_method(const std::string& method) const {
  constexpr std::size_t kMost = 5;
  const auto table = table_.load();
  const std::string service = service_of(method);
  std::vector<std::string> names;
  std::vector<std::string> services;
  std::vector<std::string> siblings;
  for (const auto& [name, unused] : table->methods) {
    names.push_back(name);
    services.push_back(service_of(name));
    if (services.back() == service) siblings.push_back(name);
  }
  const auto close = [](const std::string& wanted, const std::string& near) {
    return !near.empty() && edit_distance(wanted, near) <= std::max<std::size_t>(2, wanted.size() / 4);
  };
  if (const std::string near = nearest_name(method, names); close(method, near)) return "; did you mean " + near + "?";
  if (siblings.empty()) {
    const std::string near = nearest_name(service, services);
    return close(service, near) ? "; did you mean a method of " + near + "?" : "";
  }
  std::string out = "; there is ";
  for (std::size_t i = 0; i < std::min(siblings.size(), kMost); ++i) out += (i == 0 ? "" : ", ") + siblings[i];
  return siblings.size() > kMost ? out + " and " + std::to_string(siblings.size() - kMost) + " more" : out;
}

Error Router::unknown(const std::string& method) const {
  const auto found = services_.find(method);
  if (found) return {ErrorKind::unavailable, "the plugin of " + method + " is just being added", {}};
  Error error = found.error();
  // A typing mistake in one of our own methods deserves the same hint.
  if (error.kind == ErrorKind::method_not_found && error.message.find("did you mean") == std::string::npos)
    error.message += near_method(method.substr(0, 100));
  return error;
}

Deadline Router::deadline_for(const CallRequest& request, const ManifestMethod& method, TimePoint now) const {
  if (method.attach) return {};
  if (request.deadline.exists() || request.stream_credit || method.keeps_time) return request.deadline;
  return Deadline(now + default_timeout_.load(std::memory_order_relaxed));
}

std::shared_ptr<ActiveCall> Router::call(CallRequest request, std::shared_ptr<CallSink> sink) {
  const auto refuse = [&](Error error) -> std::shared_ptr<ActiveCall> {
    sink->answered(std::unexpected(std::move(error)));
    return std::make_shared<NoCall>();
  };
  if (request.rights) {
    const auto& rights = *request.rights;
    const auto& trace = request.traceparent;
    if (auto ok = request.client != 0 ? rights.may_call_back(trace) : rights.may_call(request.method, trace); !ok)
      return refuse(std::move(ok.error()));
  }
  if (request.client != 0 && draining_.load(std::memory_order_relaxed))
    return refuse(Error{ErrorKind::unavailable, "the host is stopping", R"({"reason":"stopping"})"});
  if (request.client != 0) return back_(std::move(request), std::move(sink));
  auto table = table_.load();
  const auto found = table->methods.find(request.method);
  if (draining_.load(std::memory_order_relaxed) &&
      (found == table->methods.end() || !found->second->about.while_stopping))
    return refuse(Error{ErrorKind::unavailable, "the host is stopping", R"({"reason":"stopping"})"});
  if (found == table->methods.end()) {
    auto error = unknown(request.method);
    if (error.kind == ErrorKind::permission_denied) services_.note_untrusted_call(request.method, request.traceparent);
    return refuse(std::move(error));
  }
  Method& method = *found->second;
  if (request.stream_credit && (method.run || !method.about.stream))
    return refuse(Error{ErrorKind::invalid_params, request.method + " is no stream; call it without _meta.stream", {}});
  if (method.run) {
    method.run(request, std::move(sink));
    return std::make_shared<NoCall>();
  }
  if (!request.stream_credit && method.about.attach)
    return refuse(Error{ErrorKind::invalid_params,
                        request.method + R"( is a stream; open it with _meta: {"stream": {"credit": N}})",
                        {}});
  const TimePoint now = timers_.now();
  request.deadline = deadline_for(request, method.about, now);
  auto routed = std::make_shared<RoutedCall>(*this, std::shared_ptr<Method>(std::move(table), &method),
                                             std::move(request), std::move(sink), now);
  routed->start();
  return routed;
}

void Router::set_limits(RouterLimits limits) {
  default_timeout_ = limits.default_timeout;
  max_calls_per_service_ = limits.max_calls_per_service;
  const auto table = table_.load();
  for (const auto& [service, permits] : table->permits) permits->set_limit(limits.max_calls_per_service);
}

bool Router::open(RoutedCall& call) {
  Lock lock(mutex_);
  if (draining_.load(std::memory_order_relaxed)) return false;
  open_.push_back(call);
  call.listed = true;
  return true;
}

void Router::closed(RoutedCall& call) {
  Lock lock(mutex_);
  if (!std::exchange(call.listed, false)) return;
  open_.remove(call);
  if (draining_.load(std::memory_order_relaxed)) changed_.notify_all();
}

void Router::drain(Duration budget) {
  const auto until = std::chrono::steady_clock::now() + budget;
  const auto give_up = [&](bool attach_only) {
    std::vector<std::shared_ptr<RoutedCall>> calls;
    {
      Lock lock(mutex_);
      for (RoutedCall* call = open_.front(); call != nullptr; call = call->next) {
        if (!attach_only || call->is_attach()) calls.push_back(call->shared_from_this());
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

void Router::Method::count_end(Duration took, bool failed) {
  const auto ns = static_cast<std::uint64_t>(std::max(took, Duration::zero()).count());
  in_flight.fetch_sub(1, std::memory_order_relaxed);
  if (failed) errors.fetch_add(1, std::memory_order_relaxed);
  total_ns.fetch_add(ns, std::memory_order_relaxed);
  auto longest = longest_ns.load(std::memory_order_relaxed);
  while (ns > longest && !longest_ns.compare_exchange_weak(longest, ns, std::memory_order_relaxed)) {
  }
}

std::map<std::string, MethodCounts> Router::method_counts() const {
  std::map<std::string, MethodCounts> out;
  const auto table = table_.load();
  for (const auto& [name, m] : table->methods) {
    if (m->calls == 0) continue;
    out.emplace(name, MethodCounts{m->calls, m->errors, m->retries, m->in_flight, std::chrono::nanoseconds(m->total_ns),
                                   std::chrono::nanoseconds(m->longest_ns)});
  }
  return out;
}

std::map<std::string, PermitQueue::Counts> Router::permit_counts() const {
  std::map<std::string, PermitQueue::Counts> out;
  const auto table = table_.load();
  for (const auto& [service, permits] : table->permits) out.emplace(service, permits->counts());
  return out;
}

std::vector<ManifestMethod> Router::builtin_methods() const {
  std::vector<ManifestMethod> out;
  const auto table = table_.load();
  for (const auto& [name, method] : table->methods) {
    if (method->run) out.push_back(method->about);
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return out;
}

}  // namespace gantry::host
