// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/rpc/log_follower.hpp"

#include <algorithm>
#include <gantry/params.hpp>
#include <utility>

#include "host/bus/topic.hpp"

namespace gantry::host {

namespace {

constexpr std::int64_t kMaxSeq = std::int64_t{1} << 53;

[[nodiscard]] bool matches(const std::vector<std::string>& patterns, std::string_view topic) {
  return std::ranges::any_of(patterns, [&](const auto& pattern) { return topic_matches(pattern, topic); });
}

[[nodiscard]] bool may_pass(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::unavailable:
    case ErrorKind::overloaded:
    case ErrorKind::timeout:
    case ErrorKind::plugin_died:
    case ErrorKind::storage_failed:
      return true;
    default:
      return false;
  }
}

}  // namespace

class LogFollower::Reply final : public CallSink {
 public:
  explicit Reply(std::weak_ptr<LogFollower> follower) : follower_(std::move(follower)) {}
  void item(std::string_view /*payload*/) override {}
  void item_end() override {}
  void credit(std::uint32_t /*items*/) override {}
  void progress(std::string_view /*payload*/) override {}
  void answered(Result<Answer> answer) override {
    const auto follower = follower_.lock();
    if (!follower) return;
    {
      const Lock lock(follower->mutex_);
      follower->arrived_.emplace(answer ? Result<std::string>(std::move(answer->text))
                                        : std::unexpected(std::move(answer.error())));
    }
    follower->wake_();
  }

 private:
  const std::weak_ptr<LogFollower> follower_;
};

LogFollower::LogFollower(Router& router, Timers& timers, std::function<void()> wake, Spec spec)
    : router_(router), timers_(timers), wake_(std::move(wake)), spec_(std::move(spec)), from_(spec_.from) {
  epoch_ = from_.value("epoch", std::string());
  last_ = covered_ = from_.value("seq", std::uint64_t{0});
}

void LogFollower::start(bool may_wait) {
  begun_ = may_wait;
  ask();
}

void LogFollower::ask() {
  CallRequest request;
  request.method = spec_.reader;
  json params = spec_.request;
  params["from"] = from_;
  request.params = dump_json(params);
  request.origin = spec_.origin;
  (void)router_.call(std::move(request), std::make_shared<Reply>(weak_from_this()));
}

void LogFollower::fall_behind() {
  if (std::exchange(behind_, true)) return;
  from_ = {{"epoch", epoch_}, {"seq", covered_}};
  ask();
}

bool LogFollower::has_begun() {
  if (!begun_) begun_ = receive() || ended_;
  return begun_;
}

// True: there is a page.
bool LogFollower::receive() {
  if (page_) return true;
  std::optional<Result<std::string>> arrived;
  bool again = false;
  {
    const Lock lock(mutex_);
    arrived = std::exchange(arrived_, std::nullopt);
    again = std::exchange(try_again_, false);
  }
  if (again) ask();
  if (!arrived) return false;
  auto page = *arrived ? parse(**arrived) : std::unexpected(arrived->error());
  if (!page) {
    failed(page.error());
    return false;
  }
  if (page->epoch != epoch_) {
    epoch_ = page->epoch;
    last_ = 0;
  }
  page_ = std::move(*page);
  return true;
}

void LogFollower::failed(const Error& error) {
  if (!may_pass(error.kind) || !begun_) {
    ended_ = error;
    return;
  }
  (void)timers_.after(kTryAgain, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    {
      const Lock lock(self->mutex_);
      self->try_again_ = true;
    }
    self->wake_();
  });
}

Result<LogFollower::Page> LogFollower::parse(std::string_view text) const {
  auto doc = parse_json(text);
  if (!doc) return fail(ErrorKind::internal, spec_.reader + " has answered with no JSON");
  Params p(*doc);
  Page page;
  page.epoch = p.string("epoch");
  (void)p.integer("head", 0, kMaxSeq);
  page.covered = static_cast<std::uint64_t>(p.integer("covered", 0, kMaxSeq));
  page.from = p.maybe_object("from").value_or(json());
  const json events = p.array("events");
  if (auto ok = p.done(); !ok) return fail(ErrorKind::internal, spec_.reader + ": " + ok.error().message);
  for (const auto& each : events) {
    Params e(each);
    Event event;
    event.topic = e.string("topic");
    event.seq = static_cast<std::uint64_t>(e.integer("seq", 0, kMaxSeq));
    const json payload = e.value("payload");
    if (auto ok = e.done(); !ok) return fail(ErrorKind::internal, spec_.reader + ": an event: " + ok.error().message);
    if (!check_topic(event.topic) || !matches(spec_.publishes, event.topic)) {
      return fail(ErrorKind::internal,
                  spec_.reader + ": an event on " + event.topic + ", on which its plugin may not publish");
    }
    if (spec_.only_topics && !matches(spec_.topics, event.topic)) continue;
    event.epoch = page.epoch;
    event.payload = dump_json(payload);
    page.events.push_back(std::move(event));
  }
  return page;
}

bool LogFollower::catch_up(const HasRoom& has_room, const Emit& emit) {
  while (behind_) {
    if (!receive()) return false;
    begun_ = true;
    auto& events = page_->events;
    for (; !events.empty(); events.pop_front()) {
      if (!has_room()) return false;
      emit(events.front(), last_);
      last_ = events.front().seq;
    }
    covered_ = page_->covered;
    from_ = std::move(page_->from);
    page_.reset();
    if (from_.is_null()) {
      behind_ = false;
    } else {
      ask();
    }
  }
  return true;
}

void LogFollower::take(const Event& event, std::uint64_t prev, const Emit& emit) {
  if (event.seq <= covered_) return;
  if (prev > covered_) return fall_behind();
  if (matches(spec_.topics, event.topic)) {
    emit(event, last_);
    last_ = event.seq;
  } else if (spec_.contains.empty() || std::ranges::any_of(spec_.contains, [&](const auto& text) {
               return event.payload.find(text) != std::string::npos;
             })) {
    return fall_behind();
  }
  covered_ = event.seq;
}

bool LogFollower::is_about(std::string_view topic) const { return matches(spec_.publishes, topic); }

}  // namespace gantry::host
