// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/rpc/log_follower.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "host/bus/topic.hpp"
#include "host/runtime/json_values.hpp"

namespace gantry::host {

namespace {

/// Of a JSON string without escapes; empty: it is none.
[[nodiscard]] std::optional<std::string> string_of(std::string_view text) {
  if (!text.starts_with('"') || text.find('\\') != std::string_view::npos) return std::nullopt;
  return std::string(text.substr(1, text.size() - 2));
}
[[nodiscard]] std::optional<std::uint64_t> seq_of(std::string_view text) {
  std::uint64_t out = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), out);
  return read.ec == std::errc() && read.ptr == text.data() + text.size() ? std::optional(out) : std::nullopt;
}

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
    : router_(router),
      timers_(timers),
      wake_(std::move(wake)),
      spec_(std::move(spec)),
      request_(spec_.request),
      from_(spec_.from) {
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
  json params = request_;
  params["from"] = from_;
  request.params = dump_json(params);
  request.origin = spec_.origin;
  (void)router_.call(std::move(request), std::make_shared<Reply>(weak_from_this()));
}

void LogFollower::fall_behind(const json& request) {
  if (std::exchange(behind_, true)) return;
  request_ = request;
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
  from_ = std::move(page_->from);
  if (!from_.is_null()) ask();  // while this page is sent
  return true;
}

void LogFollower::failed(const Error& error) {
  if (!may_pass(error.kind) || !begun_) {
    ended_ = error;
    return;
  }
  wake_after(kTryAgain, &LogFollower::try_again_);
}

void LogFollower::wake_after(Duration time, bool LogFollower::* due) {
  (void)timers_.after(time, [weak = weak_from_this(), due] {
    const auto self = weak.lock();
    if (!self) return;
    {
      const Lock lock(self->mutex_);
      (*self).*due = true;
    }
    self->wake_();
  });
}

// The router has checked that the text is JSON.
Result<LogFollower::Page> LogFollower::parse(std::string_view text) const {
  const auto wrong = [&](const std::string& why) { return fail(ErrorKind::internal, spec_.reader + ": " + why); };
  if (!text.starts_with('{')) return wrong("a page is no object");
  Page page;
  std::string_view events;
  for (JsonValues members(text); !members.at_end();) {
    const auto [name, value] = members.next_member();
    if (name == "epoch") page.epoch = string_of(value).value_or("");
    if (name == "covered") page.covered = seq_of(value).value_or(0);
    if (name == "from") page.from = parse_json(value).value_or(json());
    if (name == "events") events = value;
  }
  if (page.epoch.empty() || !events.starts_with('[')) return wrong("a page lacks its epoch or its events");
  for (JsonValues all(events); !all.at_end();) {
    auto event = read_event(all.next());
    if (!event) return wrong(event.error().message);
    if (spec_.only_topics && !matches(spec_.topics, event->topic)) continue;
    event->epoch = page.epoch;
    page.events.push_back(std::move(*event));
  }
  return page;
}

Result<Event> LogFollower::read_event(std::string_view text) const {
  if (!text.starts_with('{')) return fail(ErrorKind::internal, "an event is no object");
  Event event;
  std::optional<std::uint64_t> seq;
  for (JsonValues members(text); !members.at_end();) {
    const auto [name, value] = members.next_member();
    if (name == "seq") seq = seq_of(value);
    if (name == "topic") event.topic = string_of(value).value_or("");
    if (name == "payload") event.payload = value;
  }
  if (!seq || event.payload.empty()) return fail(ErrorKind::internal, "an event lacks its seq or its payload");
  event.seq = *seq;
  if (!check_topic(event.topic) || !matches(spec_.publishes, event.topic)) {
    return fail(ErrorKind::internal, "an event on \"" + event.topic + "\", on which its plugin may not publish");
  }
  return event;
}

bool LogFollower::debounce_is_over() {
  const Lock lock(mutex_);
  return std::exchange(may_read_, false);
}

void LogFollower::read_soon() {
  if (!std::exchange(waiting_, true)) wake_after(spec_.debounce, &LogFollower::may_read_);
}

bool LogFollower::catch_up(const HasRoom& has_room, const Emit& emit) {
  if (waiting_ && debounce_is_over()) {
    waiting_ = false;
    fall_behind();
  }
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
    page_.reset();
    behind_ = !from_.is_null();
  }
  return true;
}

void LogFollower::take(const Event& event, std::uint64_t prev, const Emit& emit) {
  if (event.seq <= covered_) return;
  if (spec_.debounce != Duration()) return read_soon();
  if (prev > covered_) return fall_behind(spec_.behind.is_null() ? spec_.request : spec_.behind);
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
