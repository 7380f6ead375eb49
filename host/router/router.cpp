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

[[nodiscard]] Error stopping() { return {ErrorKind::unavailable, "the host is stopping", R"({"reason":"stopping"})"}; }

}  // namespace

Router::Router(ServiceManager& services, Timers& timers, Log& log, RouterLimits limits, MakeCall back)
    : services_(services),
      back_(std::move(back)),
      timers_(timers),
      log_(log),
      default_timeout_(limits.default_timeout),
      max_calls_per_service_(limits.max_calls_per_service),
      max_waiting_per_service_(limits.max_waiting_per_service),
      open_(timers) {
  plugins_changed();
}

Router::~Router() = default;

void Router::plugins_changed() {
  table_.update([this](const Table& old) { return with_methods_of_plugins(old); });
}

// What is as it was keeps its counts, and services their permits.
Router::Table Router::with_methods_of_plugins(const Table& old) {
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
      About fresh;
      fresh.name = name;
      auto& about = fresh.about;
      about.name = name;
      about.idempotent = declared.idempotent;
      about.keeps_time = declared.keeps_time;
      about.stream = declared.stream;
      about.attach = declared.attach;
      about.follows = declared.follows;
      fresh.plugin = services_.instance(spec.name);
      if (!about.attach) fresh.permits = next.permits.at(service_of(name));
      const auto known = old.methods.find(name);
      next.methods.emplace(name,
                           known != old.methods.end() && fresh.is_as(*known->second) ? known->second : keep(fresh));
    }
  }
  return next;
}

Router::Method* Router::keep(const About& about) {
  Lock lock(mutex_);
  return every_method_.emplace_back(std::make_unique<Method>(about)).get();
}

bool Router::About::is_as(const About& other) const {
  return !other.run && plugin == other.plugin && permits == other.permits &&
         about.idempotent == other.about.idempotent && about.keeps_time == other.about.keeps_time &&
         about.stream == other.about.stream && about.attach == other.about.attach &&
         about.follows == other.about.follows;
}

void Router::add(ManifestMethod method, Builtin builtin) {
  add_slow(std::move(method),
           [run = std::move(builtin)](const CallRequest& request, const std::shared_ptr<CallSink>& sink) {
             sink->answered(run(request));
           });
}

void Router::add_slow(ManifestMethod method, SlowBuiltin builtin) {
  const std::string name = method.name;
  Method* const kept = keep({.name = name, .about = std::move(method), .run = std::move(builtin)});
  table_.update([&](const Table& old) {
    Table next = old;
    next.methods.insert_or_assign(name, kept);
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

CallPtr Router::call(CallRequest request, std::shared_ptr<CallSink> sink) {
  if (request.client == 0) {
    const RoutedCallPtr call(new WithSink<RoutedCall>(std::move(request), std::move(sink)));
    route(call, *table_.load());
    return call;
  }
  auto allowed = request.rights ? request.rights->may_call_back(request.traceparent) : Result<void>();
  if (allowed && open_.is_closed()) allowed = std::unexpected(stopping());
  if (allowed) return back_(std::move(request), std::move(sink));
  sink->answered(std::unexpected(std::move(allowed.error())));
  return CallPtr(new NoCall);
}

void Router::route(const RoutedCallPtr& call, MethodReader& methods) { route(call, methods.table_.get()); }

void Router::route(const RoutedCallPtr& call, const Table& table) {
  auto method = method_for(call->request(), table);
  if (!method) {
    call->leave_router();
    call->answered(std::unexpected(std::move(method.error())));
  } else if ((*method)->run) {
    call->leave_router();
    (*method)->run(call->request(), std::shared_ptr<CallSink>(call.get(), [call](CallSink*) {}));
  } else {
    const TimePoint now = timers_.now();
    call->request_.deadline = deadline_for(call->request(), (*method)->about, now);
    call->start(*this, **method, now);
  }
}

Result<Router::Method*> Router::method_for(const CallRequest& request, const Table& table) const {
  if (request.rights) {
    if (auto ok = request.rights->may_call(request.method, request.traceparent); !ok)
      return std::unexpected(std::move(ok.error()));
  }
  const auto found = table.methods.find(request.method);
  Method* const method = found == table.methods.end() ? nullptr : found->second;
  if (open_.is_closed() && (method == nullptr || !method->about.while_stopping)) return std::unexpected(stopping());
  if (method == nullptr) {
    auto error = unknown(request.method);
    if (error.kind == ErrorKind::permission_denied) services_.note_untrusted_call(request.method, request.traceparent);
    return std::unexpected(std::move(error));
  }
  if (request.stream_credit && (method->run || !method->about.stream))
    return fail(ErrorKind::invalid_params, request.method + " is no stream; call it without _meta.stream");
  if (!request.stream_credit && method->about.attach)
    return fail(ErrorKind::invalid_params,
                request.method + R"( is a stream; open it with _meta: {"stream": {"credit": N}})");
  return method;
}

void Router::set_limits(RouterLimits limits) {
  default_timeout_ = limits.default_timeout;
  max_calls_per_service_ = limits.max_calls_per_service;
  const auto table = table_.load();
  for (const auto& [service, permits] : table->permits) permits->set_limit(limits.max_calls_per_service);
}

void Router::closed(RoutedCall& call) {
  open_.leave(call);
  if (!open_.is_closed()) return;
  Lock lock(mutex_);
  changed_.notify_all();
}

void Router::drain(Duration budget) {
  const auto until = std::chrono::steady_clock::now() + budget;
  const auto give_up = [&](bool attach_only) {
    for (const auto& call : open_.all()) {
      if (!attach_only || call->method_->about.attach)
        call->give_up(Error{ErrorKind::cancelled, "the host is stopping", {}});
    }
  };
  open_.close();
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
  Counts& here = counts();
  const auto ns = static_cast<std::uint64_t>(std::max(took, Duration::zero()).count());
  here.ended.fetch_add(1, std::memory_order_relaxed);
  if (failed) here.errors.fetch_add(1, std::memory_order_relaxed);
  here.total_ns.fetch_add(ns, std::memory_order_relaxed);
  auto longest = here.longest_ns.load(std::memory_order_relaxed);
  while (ns > longest && !here.longest_ns.compare_exchange_weak(longest, ns, std::memory_order_relaxed)) {
  }
}

// What has ended is read before what has begun.
MethodCounts Router::Method::sum() const {
  MethodCounts out;
  std::uint64_t ended = 0;
  std::uint64_t total = 0;
  std::uint64_t longest = 0;
  for (const auto& part : parts) ended += part.ended.load(std::memory_order_acquire);
  for (const auto& part : parts) {
    out.calls += part.calls.load(std::memory_order_relaxed);
    out.errors += part.errors.load(std::memory_order_relaxed);
    out.retries += part.retries.load(std::memory_order_relaxed);
    total += part.total_ns.load(std::memory_order_relaxed);
    longest = std::max(longest, part.longest_ns.load(std::memory_order_relaxed));
  }
  out.in_flight = out.calls - ended;
  out.total = std::chrono::nanoseconds(total);
  out.longest = std::chrono::nanoseconds(longest);
  return out;
}

std::map<std::string, MethodCounts> Router::method_counts() const {
  std::map<std::string, MethodCounts> out;
  const auto table = table_.load();
  for (const auto& [name, method] : table->methods) {
    if (const auto counts = method->sum(); counts.calls != 0) out.emplace(name, counts);
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
