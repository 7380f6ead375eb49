// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/rpc/subscriptions.hpp"

#include <algorithm>

#include "host/runtime/json_text.hpp"

namespace gantry::host {

namespace {

// Why a log of `since` does not go on from there, as the bus says it.
constexpr const char* kUnknownEpoch = "unknown_epoch";
constexpr const char* kTooOld = "too_old";

constexpr std::int64_t kMaxDebounceMs = 60'000;

}  // namespace

Result<SubscribeOptions> RpcSubscriptions::read_options(Params& p) {
  const auto since_doc = p.maybe_object("since");
  SubscribeOptions options;
  Since& since = options.since;
  for (const auto& [epoch, seq] : since_doc.value_or(json::object()).items()) {
    const bool fits = is_integer(seq) && seq >= 0;
    p.require(fits, "since must map epochs to sequence numbers");
    if (fits) since[epoch] = seq.get<std::uint64_t>();
  }
  p.require(since.size() <= 16, "since may name at most 16 epochs");
  const auto policy = p.maybe_string("policy").value_or("drop_oldest");
  p.require(policy == "drop_oldest" || policy == "coalesce" || policy == "disconnect",
            "policy must be drop_oldest, coalesce or disconnect");
  if (policy == "coalesce") options.overflow = Overflow::coalesce;
  if (policy == "disconnect") options.overflow = Overflow::disconnect;
  if (const auto buffer = p.maybe_integer("buffer")) {
    p.require(*buffer >= 1, "buffer must be at least 1");
    options.buffer = static_cast<std::size_t>(std::max<std::int64_t>(*buffer, 1));
  }
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  return options;
}

Result<std::pair<std::string, Subscribed>> RpcSubscriptions::add(std::vector<std::string> topics,
                                                                 SubscribeOptions options) {
  if (subscriptions_.size() >= kMax)
    return fail(ErrorKind::overloaded,
                "this connection has " + std::to_string(kMax) + " subscriptions already; end one first",
                R"({"retry_after_ms":1000})");
  options.share = share_;
  options.name = "client " + std::to_string(origin_);
  auto subscribed = deps_.bus.subscribe(
      std::move(topics),
      [wire = wire_] {
        if (const auto w = wire.lock()) w->schedule_events();
      },
      std::move(options));
  if (!subscribed) return std::unexpected(subscribed.error());
  std::string id = std::to_string(next_++);
  subscriptions_[id] = ClientSubscription{subscribed->subscription};
  if (const auto w = wire_.lock()) w->schedule_events();  // what was replayed woke nobody
  return std::pair(std::move(id), std::move(*subscribed));
}

std::shared_ptr<LogFollower> RpcSubscriptions::follower(LogFollower::Spec spec) {
  spec.origin = origin_;
  return std::make_shared<LogFollower>(
      deps_.router, deps_.timers,
      [wire = wire_] {
        if (const auto w = wire.lock()) w->schedule_events();
      },
      std::move(spec));
}

// A log that its plugin reads is never replayed from the bus: only the plugin knows whether it still goes on from
// there, and a client that says what it has seen is to lose nothing after it either.
void RpcSubscriptions::subscribe(const json& params, Reply reply) {
  Params p(params);
  auto topics = p.strings("topics");
  auto options = read_options(p);
  if (!options) return reply(std::unexpected(options.error()));
  std::vector<std::shared_ptr<LogFollower>> logs;
  std::map<std::string, std::string> read;
  const auto readers = options->since.empty() ? std::vector<SessionDeps::LogReader>() : deps_.log_readers();
  for (const auto& [epoch, seq] : Since(options->since)) {
    if (epoch == deps_.bus.epoch()) continue;
    const auto known = deps_.bus.find_log(epoch);
    for (const auto& reader : readers) {
      if (known && known->plugin != reader.plugin) continue;
      LogFollower::Spec spec;
      spec.reader = reader.method;
      spec.request = json::object();
      spec.from = {{"epoch", epoch}, {"seq", seq}};
      spec.topics = topics;
      spec.publishes = reader.publishes;
      spec.only_topics = true;
      logs.push_back(follower(std::move(spec)));
      options->since.erase(epoch);
      read[epoch] = kUnknownEpoch;
    }
  }
  auto added = add(std::move(topics), std::move(*options));
  if (!added) return reply(std::unexpected(added.error()));
  auto& [id, begun] = *added;
  begun.gaps.merge(read);
  ClientSubscription& subscribed = subscriptions_[id];
  subscribed.answer = {{"subscription", id}, {"epoch", deps_.bus.epoch()}, {"seq", begun.seq}, {"gaps", begun.gaps}};
  subscribed.logs = logs;
  subscribed.opening = std::move(reply);
  for (const auto& log : logs) log->start(false);
  (void)try_open(subscribed);
}

// What does not go on from there is left out, and the answer says why.
bool RpcSubscriptions::try_open(ClientSubscription& subscribed) {
  if (!subscribed.opening) return true;
  if (!std::ranges::all_of(subscribed.logs, [](const auto& log) { return log->has_begun(); })) return false;
  auto& gaps = subscribed.answer["gaps"];
  for (const auto& log : subscribed.logs) {
    if (!log->ended()) {
      gaps.erase(log->epoch());
    } else if (parse_json(log->ended()->data).value_or(json::object()).value("reason", "") == kTooOld) {
      gaps[log->epoch()] = kTooOld;
    }
  }
  std::erase_if(subscribed.logs, [](const auto& log) { return log->ended().has_value(); });
  std::exchange(subscribed.opening, {})(dump_json(std::exchange(subscribed.answer, {})));
  return true;
}

void RpcSubscriptions::follow_soon(std::string reader, std::string answer, Reply reply) {
  {
    const Lock lock(mutex_);
    if (closed_) return;
    followed_.push_back({std::move(reader), std::move(answer), std::move(reply)});
  }
  if (const auto wire = wire_.lock()) wire->schedule_events();
}

void RpcSubscriptions::follow(const Followed& begun) {
  auto answer = parse_json(begun.answer).value_or(json());
  if (!answer.is_object() || !answer.contains("follow")) return begun.reply(begun.answer);
  const json told = std::exchange(answer["follow"], json());
  answer.erase("follow");
  const auto readers = deps_.log_readers();
  const auto reader = std::ranges::find(readers, begun.reader, &SessionDeps::LogReader::method);
  Params p(told);
  LogFollower::Spec spec;
  spec.topics = p.strings("topics");
  spec.some = p.strings("some");
  spec.contains = p.strings("contains");
  spec.request = p.object("request");
  spec.behind = p.maybe_object("behind").value_or(json());
  spec.debounce = std::chrono::milliseconds(p.integer_or("debounce_ms", 0, 0, kMaxDebounceMs));
  spec.from = p.object("from");
  if (auto ok = p.done(); !ok || reader == readers.end()) {
    return begun.reply(fail(ErrorKind::internal, "the plugin has answered with a `follow` that " +
                                                     (ok ? "no plugin reads for" : "is wrong: " + ok.error().message)));
  }
  spec.reader = reader->method;
  spec.publishes = reader->publishes;
  auto topics = spec.topics;
  topics.insert(topics.end(), spec.some.begin(), spec.some.end());
  auto added = add(std::move(topics), {});
  if (!added) return begun.reply(std::unexpected(added.error()));
  answer["subscription"] = added->first;
  ClientSubscription& subscribed = subscriptions_[added->first];
  subscribed.heartbeat = true;
  subscribed.logs.push_back(follower(std::move(spec)));
  subscribed.logs.back()->start(true);
  schedule_heartbeat();
  begun.reply(dump_json(answer));
}

Result<json> RpcSubscriptions::unsubscribe(const json& params) {
  Params p(params);
  const std::string id = p.string("subscription");
  if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
  const auto it = subscriptions_.find(id);
  if (it == subscriptions_.end()) return fail(ErrorKind::not_found, "this connection has no subscription " + id);
  deps_.bus.unsubscribe(it->second.subscription);
  subscriptions_.erase(it);
  return json::object();
}

void RpcSubscriptions::write_event(SessionWire& wire, const std::string& id, const Event& event, std::uint64_t prev) {
  const bool own = event.epoch == deps_.bus.epoch();
  wire.write({R"({"jsonrpc":"2.0","method":"$/event","params":{"subscription":")", id, R"(","log":)",
              own ? R"("bus")" : quote_json(event.topic.substr(0, event.topic.find('.'))), R"(,"epoch":)",
              quote_json(event.epoch), R"(,"seq":)", std::to_string(event.seq), R"(,"prev":)", std::to_string(prev),
              R"(,"topic":")", event.topic, R"(","payload":)", event.payload, "}}"});
}

std::optional<Error> RpcSubscriptions::deliver(const std::string& id, ClientSubscription& subscribed,
                                               SessionWire& wire) {
  if (!try_open(subscribed)) return std::nullopt;
  const LogFollower::HasRoom has_room = [&] { return wire.writable(); };
  const LogFollower::Emit emit = [&](const Event& event, std::uint64_t prev) { write_event(wire, id, event, prev); };
  const auto use = [&](const Event& event, std::uint64_t prev) {
    for (const auto& log : subscribed.logs) {
      if (event.epoch == log->epoch()) return log->take(event, prev, emit);
      // Another log in the place of this one, of which only its plugin knows how to go on.
      if (subscribed.heartbeat && event.epoch != deps_.bus.epoch() && log->is_about(event.topic))
        return log->fall_behind();
    }
    emit(event, prev);
  };
  while (true) {
    for (const auto& log : subscribed.logs) {
      const bool caught_up = log->catch_up(has_room, emit);
      if (log->ended()) return log->ended();
      if (!caught_up) return std::nullopt;
    }
    if (!wire.writable()) return std::nullopt;
    if (subscribed.subscription->drain(1, use) != 0) continue;
    const auto end = subscribed.subscription->ended();
    return end && end->kind == ErrorKind::overloaded ? end : std::nullopt;
  }
}

void RpcSubscriptions::deliver(SessionWire& wire) {
  std::vector<Followed> followed;
  {
    const Lock lock(mutex_);
    followed.swap(followed_);
  }
  for (const auto& begun : followed) follow(begun);
  for (auto it = subscriptions_.begin(); it != subscriptions_.end();) {
    const auto end = deliver(it->first, it->second, wire);
    if (end) {
      wire.write({R"({"jsonrpc":"2.0","method":"$/event","params":{"subscription":")", it->first, R"(","end":)",
                  dump_json({{"kind", kind_name(end->kind)}, {"message", end->message}}), "}}"});
      deps_.bus.unsubscribe(it->second.subscription);
      it = subscriptions_.erase(it);
    } else {
      ++it;
    }
  }
  if (heartbeat_due_.exchange(false)) write_heartbeats(wire);
}

void RpcSubscriptions::write_heartbeats(SessionWire& wire) {
  heartbeat_scheduled_ = false;
  for (const auto& [id, subscribed] : subscriptions_) {
    if (!subscribed.heartbeat) continue;
    schedule_heartbeat();
    const auto& log = *subscribed.logs.front();
    const auto known = deps_.bus.find_log(log.epoch());
    const auto head = std::max(known ? known->head : 0, log.last());
    if (!wire.writable()) continue;  // it has enough to read
    wire.write({R"({"jsonrpc":"2.0","method":"$/event","params":{"subscription":")", id, R"(","log":)",
                quote_json(log.log()), R"(,"epoch":)", quote_json(log.epoch()), R"(,"head":)", std::to_string(head),
                R"(,"prev":)", std::to_string(log.last()), "}}"});
  }
}

void RpcSubscriptions::schedule_heartbeat() {
  if (std::exchange(heartbeat_scheduled_, true)) return;
  (void)deps_.timers.after(kHeartbeat, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->heartbeat_due_ = true;
    if (const auto wire = self->wire_.lock()) wire->schedule_events();
  });
}

void RpcSubscriptions::close() {
  {
    const Lock lock(mutex_);
    closed_ = true;
    followed_.clear();
  }
  for (const auto& [id, subscribed] : subscriptions_) deps_.bus.unsubscribe(subscribed.subscription);
  subscriptions_.clear();
}

}  // namespace gantry::host
