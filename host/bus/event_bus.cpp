// SPDX-License-Identifier: Apache-2.0
#include "host/bus/event_bus.hpp"

#include <algorithm>
#include <exception>

#include "host/bus/bus_state.hpp"
#include "host/bus/topic.hpp"

namespace gantry::host {

using bus::BusState;
using bus::DeferredDestruction;
using bus::Entry;
using bus::HeldEvent;
using bus::Queue;
using bus::Route;

namespace {

/// Who is to be told, once the mutex is free. In this order: the waiters' frames may go when they are woken.
struct Woken {
  gantry::detail::WakeList waiters;
  std::vector<std::shared_ptr<Subscription>> owners;
};

/// There must be one. Under the bus's mutex.
void drop_oldest(Queue& q, DeferredDestruction& dead) {
  while (true) {
    const Entry oldest = q.entries.front();
    q.entries.pop_front();
    ++q.first_place;
    if (oldest.node == nullptr) continue;
    q.let_go(oldest.node->bytes());
    dead.drop(oldest.node);
    --q.live;
    ++q.dropped;
    return;
  }
}

/// Of those that share with `q`, itself among them, the one that holds most and may lose some of it; nullptr: none.
[[nodiscard]] Queue* fullest(const Queue& q) {
  Queue* out = nullptr;
  for (Queue* const each : q.share->queues) {
    if (each->live == 0 || each->overflow == Overflow::disconnect) continue;
    if (out == nullptr || each->bytes > out->bytes) out = each;
  }
  return out;
}

/// Makes room for `size` bytes, or says that there is none. Under the bus's mutex.
[[nodiscard]] bool make_room(Queue& q, std::size_t size, DeferredDestruction& dead) {
  const bool drops = q.overflow != Overflow::disconnect;
  if (!drops && (q.live >= q.buffer || q.share->held + size > q.share->most)) return false;
  while (q.live >= q.buffer) drop_oldest(q, dead);
  while (q.share->held + size > q.share->most) {
    Queue* const from = fullest(q);
    if (from == nullptr) return false;
    drop_oldest(*from, dead);
  }
  return true;
}

/// Takes out the holes of coalesced events, and keys whose events are gone, when they are most of what is there. Under
/// the bus's mutex.
void compact(Queue& q) {
  if (q.entries.size() < 2 * q.live + 64 && q.place_of_key.size() < 2 * q.live + 64) return;
  std::vector<std::uint64_t> moved(q.entries.size());
  std::size_t kept = 0;
  for (std::size_t i = 0; i < q.entries.size(); ++i) {
    moved[i] = q.first_place + kept;
    if (q.entries[i].node != nullptr) q.entries[kept++] = q.entries[i];
  }
  std::erase_if(q.place_of_key, [&](const auto& entry) { return entry.second < q.first_place; });
  for (auto& [key, place] : q.place_of_key) place = moved[static_cast<std::size_t>(place - q.first_place)];
  q.entries.truncate(kept);
}

/// Under the bus's mutex. True: it was empty before.
bool push(Queue& q, HeldEvent& node, bool own, bool unfiltered, const std::string* key, DeferredDestruction& dead) {
  if (q.over) return false;
  auto& prev = own ? q.prev_own : q.prev[node.event.epoch];
  if (key != nullptr) {
    const auto [at, fresh] = q.place_of_key.try_emplace(*key, 0);
    if (!fresh && at->second >= q.first_place) {
      Entry& older = q.entries[static_cast<std::size_t>(at->second - q.first_place)];
      q.let_go(older.node->bytes());
      dead.drop(std::exchange(older.node, nullptr));
      --q.live;
      ++q.coalesced;
    }
    // Holes at the front cost nothing; of those further in there are never more than entries.
    while (!q.entries.empty() && q.entries.front().node == nullptr) {
      q.entries.pop_front();
      ++q.first_place;
    }
  }
  const bool was_empty = q.live == 0;
  if (!make_room(q, node.bytes(), dead)) {
    if (q.overflow != Overflow::disconnect) {  // what is full belongs to others that must not lose anything
      ++q.dropped;
      prev = node.event.seq;
      return false;
    }
    q.finish(Error{ErrorKind::overloaded,
                   "the subscription was full (" + std::to_string(q.live) + " events) and asked to be ended then",
                   {}});
    return true;
  }
  if (key != nullptr) {
    compact(q);
    q.place_of_key[*key] = q.first_place + q.entries.size();
  }
  q.entries.push_back(Entry{&node, prev, unfiltered});
  q.hold(node.bytes());
  ++q.live;
  ++node.refs;
  prev = node.event.seq;
  return was_empty;
}

/// What a subscription's functions said of an event, asked without a lock.
struct Answer {
  bool wanted = true;
  std::string key;
  std::string failed;
};

Answer ask(const Queue& q, const Event& event) {
  Answer answer;
  try {
    if (q.options.filter) answer.wanted = q.options.filter(event);
    if (answer.wanted && q.overflow == Overflow::coalesce)
      answer.key = q.options.key ? q.options.key(event) : event.topic;
  } catch (const std::exception& e) {
    answer.wanted = false;
    answer.failed = e.what();
  } catch (...) {
    answer.wanted = false;
    answer.failed = "an exception of unknown type";
  }
  return answer;
}

}  // namespace

EventBus::EventBus(std::string epoch, std::size_t buffer, std::function<void(const DeadLetter&)> on_dead)
    : state_(std::make_shared<BusState>(std::move(epoch), std::max<std::size_t>(buffer, 1))) {
  state_->on_dead = std::move(on_dead);
}

EventBus::~EventBus() { (void)end_all(); }

const std::string& EventBus::epoch() const { return state_->epoch; }

Result<std::uint64_t> EventBus::publish(std::string topic, std::string payload) {
  return put(Event{std::move(topic), state_->epoch, 0, std::move(payload)}, nullptr);
}

Result<std::uint64_t> EventBus::publish_logged(std::string topic, std::string epoch, std::uint64_t seq,
                                               std::string payload, const LogOwner& owner) {
  return put(Event{std::move(topic), std::move(epoch), seq, std::move(payload)}, &owner);
}

std::shared_ptr<bus::Share> EventBus::share() { return std::make_shared<bus::Share>(); }

namespace {

/// Nothing of the log is known any more.
void forget_log(BusState& s, const std::string& epoch, DeferredDestruction& dead) GANTRY_REQUIRES(s.mutex) {
  std::erase_if(s.ring, [&](HeldEvent* node) GANTRY_REQUIRES(s.mutex) {
    if (node->event.epoch != epoch) return false;
    s.ring_bytes -= node->bytes();
    dead.drop(node);
    return true;
  });
  s.floor.erase(epoch);
  for (const auto& member : s.subscriptions) member.queue->prev.erase(epoch);
  s.logs.erase(epoch);
}

[[nodiscard]] Result<void> claim(BusState& s, const std::string& epoch, const LogOwner& owner,
                                 DeferredDestruction& dead) GANTRY_REQUIRES(s.mutex) {
  const auto refuse = [&](const std::string& whose) {
    return fail(ErrorKind::permission_denied, "the log of epoch " + epoch + " is " + whose + ", not plugin " +
                                                  owner.plugin + "'s; name a random epoch of its own");
  };
  if (epoch == s.epoch) return refuse("the bus's own");
  if (const auto known = s.logs.find(epoch); known != s.logs.end()) {
    const LogOwner& other = known->second.owner;
    if (other.plugin == owner.plugin) return {};
    if (other.bundled || !owner.bundled) return refuse("plugin " + other.plugin + "'s");
    forget_log(s, epoch, dead);
  }
  std::size_t count = 0;
  auto oldest = s.logs.end();
  for (auto it = s.logs.begin(); it != s.logs.end(); ++it) {
    if (it->second.owner.plugin != owner.plugin) continue;
    ++count;
    if (oldest == s.logs.end() || it->second.number < oldest->second.number) oldest = it;
  }
  if (count >= EventBus::kMaxLogs) forget_log(s, std::string(oldest->first), dead);
  s.logs.emplace(epoch, bus::Log{owner, ++s.logs_named, 0});
  return {};
}

const Route& route_of(BusState& s, const std::string& topic) GANTRY_REQUIRES(s.mutex) {
  const auto known = s.routes.find(topic);
  if (known != s.routes.end()) return known->second;
  if (s.routes.size() >= BusState::kMaxRoutes) s.routes.clear();
  Route& route = s.routes[topic];
  for (const auto& member : s.subscriptions) {
    if (!member.queue->matches(topic)) continue;
    route.to.push_back(member);
    route.plain = route.plain && member.queue->plain();
  }
  return route;
}

/// The event is stored in the log, and what fell out of it goes.
HeldEvent& append(BusState& s, Event&& event, bool own, DeferredDestruction& dead) GANTRY_REQUIRES(s.mutex) {
  if (own) {
    event.seq = ++s.seq;
  } else if (!s.floor.contains(event.epoch) && event.seq > 0) {
    s.floor[event.epoch] = event.seq - 1;  // a log that is older than this bus: what came before was never here
  }
  if (!own) s.logs.at(event.epoch).head = event.seq;
  ++s.published;
  HeldEvent* const node = new HeldEvent{std::move(event), 1};
  s.ring.push_back(node);
  s.ring_bytes += node->bytes();
  while (s.ring.size() > s.buffer || s.ring_bytes > EventBus::kMaxKeptBytes) {
    HeldEvent* const oldest = s.ring.front();
    s.ring.pop_front();
    auto& floor = s.floor[oldest->event.epoch];
    floor = std::max(floor, oldest->event.seq);
    s.ring_bytes -= oldest->bytes();
    dead.drop(oldest);
  }
  return *node;
}

/// What `since` asks for goes into the queue, or into `gaps`.
void replay(BusState& s, Queue& q, std::map<std::string, std::string>& gaps, DeferredDestruction& dead)
    GANTRY_REQUIRES(s.mutex) {
  const Since& since = q.options.since;
  for (const auto& [epoch, seq] : since) {
    const auto floor = s.floor.find(epoch);
    const bool known =
        epoch == s.epoch || floor != s.floor.end() ||
        std::any_of(s.ring.begin(), s.ring.end(), [&, &e = epoch](const HeldEvent* n) { return n->event.epoch == e; });
    if (!known || (epoch == s.epoch && seq > s.seq)) {
      gaps[epoch] = "unknown_epoch";
    } else if (floor != s.floor.end() && seq < floor->second) {
      gaps[epoch] = "too_old";
    } else {
      (epoch == s.epoch ? q.prev_own : q.prev[epoch]) = seq;
    }
  }
  for (HeldEvent* const node : s.ring) {
    const Event& event = node->event;
    const auto from = since.find(event.epoch);
    if (from == since.end() || event.seq <= from->second || !q.matches(event.topic)) continue;
    (void)push(q, *node, event.epoch == s.epoch, static_cast<bool>(q.options.filter), nullptr, dead);
  }
}

void forget(BusState& s, const Queue* queue) GANTRY_REQUIRES(s.mutex) {
  const auto it = std::find_if(s.subscriptions.begin(), s.subscriptions.end(),
                               [&](const auto& member) { return member.queue == queue; });
  if (it == s.subscriptions.end()) return;
  s.dropped_before += queue->dropped;
  s.coalesced_before += queue->coalesced;
  s.subscriptions.erase(it);
  s.routes.clear();
  ++s.version;
}

/// `answers` belong to the members of the route, in its order; empty: all want it.
void deliver(BusState& s, HeldEvent& node, bool own, const Route& route, const std::vector<Answer>& answers,
             Woken& woken, DeferredDestruction& dead) GANTRY_REQUIRES(s.mutex) {
  std::vector<Queue*> over;
  for (std::size_t i = 0; i < route.to.size(); ++i) {
    const auto& [owner, queue] = route.to[i];
    if (!answers.empty() && !answers[i].wanted) continue;
    const bool coalesces = queue->overflow == Overflow::coalesce;
    if (!push(*queue, node, own, false, coalesces ? &answers[i].key : nullptr, dead)) continue;
    queue->waiting.take_all(woken.waiters);
    woken.owners.push_back(owner);
    if (queue->over) over.push_back(queue);
  }
  for (const Queue* const queue : over) forget(s, queue);  // `route` is gone now
}

}  // namespace

Result<void> EventBus::claim_log(const std::string& epoch, std::uint64_t head, const LogOwner& owner) {
  DeferredDestruction dead;
  const Lock lock(state_->mutex);
  if (auto ok = claim(*state_, epoch, owner, dead); !ok) return ok;
  state_->floor.try_emplace(epoch, head);
  auto& known = state_->logs.at(epoch).head;
  known = std::max(known, head);
  return {};
}

std::optional<EventBus::KnownLog> EventBus::find_log(const std::string& epoch) const {
  const Lock lock(state_->mutex);
  const auto found = state_->logs.find(epoch);
  if (found == state_->logs.end()) return std::nullopt;
  return KnownLog{found->second.owner.plugin, found->second.head};
}

// `owner`: of the event's log; nullptr: the bus's own.
Result<std::uint64_t> EventBus::put(Event event, const LogOwner* owner) {
  const bool own = owner == nullptr;
  if (auto ok = check_topic(event.topic); !ok) return std::unexpected(ok.error());
  if (event.payload.size() > kMaxEventBytes)
    return fail(ErrorKind::too_large, "an event on " + event.topic + " is larger than 1 MiB");
  BusState& s = *state_;
  Woken woken;
  DeferredDestruction dead;
  std::vector<Answer> answers;
  std::vector<bus::Member> asked;
  Event said{};  // what a letter needs of the event, which then belongs to the bus
  std::uint64_t version = 0;
  std::uint64_t seq = 0;
  while (true) {
    std::vector<bus::Member> before;  // perhaps the last owners: not under the mutex
    {
      const Lock lock(s.mutex);
      if (s.closed) return fail(ErrorKind::unavailable, "the event bus is closed");
      if (!own) {
        if (auto ok = claim(s, event.epoch, *owner, dead); !ok) return std::unexpected(ok.error());
      }
      const Route& route = route_of(s, event.topic);
      if (route.plain || (!asked.empty() && version == s.version)) {
        if (route.plain) answers.clear();  // those that were asked have gone; the answers were theirs
        HeldEvent& node = append(s, std::move(event), own, dead);
        seq = node.event.seq;
        deliver(s, node, own, route, answers, woken, dead);
        break;
      }
      before.swap(asked);
      asked = route.to;
      version = s.version;
    }
    // Not under the mutex; when subscriptions have come or gone meanwhile, once more.
    answers.clear();
    for (const auto& member : asked) {
      answers.push_back(ask(*member.queue, event));
      if (!answers.back().failed.empty() && said.topic.empty())
        said = Event{event.topic, event.epoch, 0, event.payload.substr(0, DeadLetter::kPayload)};
    }
  }
  said.seq = seq;
  for (std::size_t i = 0; i < asked.size() && i < answers.size(); ++i) {
    if (!answers[i].failed.empty()) add_dead_letter(said, asked[i].queue->options.name, answers[i].failed, 1);
  }
  woken.waiters.wake();
  for (const auto& woken_one : woken.owners) {
    if (woken_one->queue_->wake) woken_one->queue_->wake();
  }
  return seq;
}

Result<Subscribed> EventBus::subscribe(std::vector<std::string> patterns, std::function<void()> wake,
                                       SubscribeOptions options) {
  if (patterns.empty()) return fail(ErrorKind::invalid_params, "topics is empty; name at least one pattern");
  if (patterns.size() > kMaxPatterns) return fail(ErrorKind::invalid_params, "more than 64 topic patterns");
  for (const auto& pattern : patterns) {
    if (auto ok = check_pattern(pattern); !ok) return std::unexpected(ok.error());
  }
  BusState& s = *state_;
  auto queue = std::make_unique<Queue>();
  Queue& q = *queue;
  q.patterns = std::move(patterns);
  q.options = std::move(options);
  q.buffer = q.options.buffer == 0 ? s.buffer : std::min(q.options.buffer, s.buffer);
  q.overflow = q.options.overflow;
  q.wake = std::move(wake);
  q.share = q.options.share ? q.options.share : share();
  Subscribed out;
  out.subscription = std::make_shared<Subscription>(state_, std::move(queue));
  DeferredDestruction dead;
  const Lock lock(s.mutex);
  q.share->queues.push_back(&q);
  if (s.closed) return fail(ErrorKind::unavailable, "the event bus is closed");
  out.seq = s.seq;
  replay(s, q, out.gaps, dead);
  if (!q.over) {
    s.subscriptions.push_back({out.subscription, &q});
    s.routes.clear();
    ++s.version;
  }
  return out;
}

void EventBus::unsubscribe(const std::shared_ptr<Subscription>& subscription) {
  gantry::detail::WakeList woken;
  const Lock lock(state_->mutex);
  Queue& q = *subscription->queue_;
  forget(*state_, &q);
  q.finish(Error{ErrorKind::unavailable, "the subscription was ended", {}});
  q.waiting.take_all(woken);
}

std::vector<std::shared_ptr<Subscription>> EventBus::end_all() {
  Woken woken;
  std::unordered_map<std::string, Route> routes;
  BusState& s = *state_;
  const Lock lock(s.mutex);
  if (std::exchange(s.closed, true)) return {};
  // A subscription holds what holds it: let go of all.
  routes.swap(s.routes);
  for (const auto& [owner, queue] : std::exchange(s.subscriptions, {})) {
    queue->finish(Error{ErrorKind::unavailable, "the event bus is closed", {}});
    queue->waiting.take_all(woken.waiters);
    s.dropped_before += queue->dropped;
    s.coalesced_before += queue->coalesced;
    woken.owners.push_back(owner);
  }
  return std::move(woken.owners);
}

void EventBus::close() {
  for (const auto& owner : end_all()) {
    if (owner->queue_->wake) owner->queue_->wake();
  }
}

void bus::add_dead_letter(BusState& bus, const Event& event, const std::string& subscriber, const std::string& error,
                          int attempts) {
  DeadLetter letter{event.topic, event.epoch, event.seq, event.payload.substr(0, DeadLetter::kPayload),
                    subscriber,  error,       attempts};
  {
    const Lock lock(bus.mutex);
    ++bus.dead;
    bus.letters.push_back(letter);
    if (bus.letters.size() > EventBus::kMaxDeadLetters) bus.letters.pop_front();
  }
  if (bus.on_dead) bus.on_dead(letter);
}

void EventBus::add_dead_letter(const Event& event, const std::string& subscriber, const std::string& error,
                               int attempts) {
  bus::add_dead_letter(*state_, event, subscriber, error, attempts);
}

std::vector<DeadLetter> EventBus::dead_letters() const {
  const Lock lock(state_->mutex);
  return {state_->letters.begin(), state_->letters.end()};
}

EventBus::Counts EventBus::counts() const {
  const Lock lock(state_->mutex);
  Counts counts{state_->published, state_->dropped_before, state_->coalesced_before, state_->dead,
                state_->subscriptions.size()};
  for (const auto& member : state_->subscriptions) {
    counts.dropped += member.queue->dropped;
    counts.coalesced += member.queue->coalesced;
  }
  return counts;
}

}  // namespace gantry::host
