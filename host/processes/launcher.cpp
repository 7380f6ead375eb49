// SPDX-License-Identifier: Apache-2.0
//
// An entry is there from the moment a helper is asked for: first without a helper, while a thread of the pool starts
// it, then with one, until its guard has ended. Whoever asks for it, waits for it or signals it meanwhile is remembered
// in the entry.
#include "host/processes/launcher.hpp"

#include <signal.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cassert>
#include <utility>

namespace gantry::host {

namespace {

[[nodiscard]] Result<Answer> handed_over(const std::string& name, const Helper& helper, bool warm,
                                         const std::string& note = {}) {
  auto descriptors = helper.descriptors();
  if (!descriptors) return std::unexpected(descriptors.error());
  json answer{{"name", name}, {"pid", helper.pid()}, {"warm", warm}, {"write", helper.writable()}};
  if (!note.empty()) answer["note"] = note;
  return Answer(dump_json(answer), std::move(*descriptors));
}

}  // namespace

/// Waits for a guard on the first worker.
struct Launcher::Watch {
  Watch(boost::asio::io_context& context, int fd) : guard(context, fd) {}
  ~Watch() { leave(); }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  /// The descriptor is the helper's.
  void leave() {
    if (guard.is_open()) (void)guard.release();
  }
  boost::asio::posix::stream_descriptor guard;
};

Launcher::~Launcher() {
  std::map<Key, std::shared_ptr<Entry>> left;
  {
    const Lock lock(mutex_);
    left.swap(entries_);
  }
  for (const auto& [key, entry] : left) {
    assert(entry->starters.empty());          // the pool starts none: that job would come back to this object
    if (entry->helper) entry->helper->end();  // all at once; then each waits for its guard
  }
}

// ---- who asks -----------------------------------------------------------------------------------

void Launcher::join(OriginId origin, const std::string& plugin, bool own_process) {
  const Lock lock(mutex_);
  plugins_[origin] = {plugin, own_process};
}

void Launcher::leave(OriginId origin) {
  std::vector<Waiting> gone;
  {
    const Lock lock(mutex_);
    const auto leaver = plugins_.extract(origin);
    if (!leaver) return;
    const auto theirs = [origin](const Waiting& waiting) { return waiting.origin == origin; };
    for (const auto& [key, entry] : entries_) {
      for (auto* list : {&entry->starters, &entry->waiters}) {
        std::copy_if(list->begin(), list->end(), std::back_inserter(gone), theirs);
        std::erase_if(*list, theirs);
      }
      if (entry->claims.erase(origin) == 0) continue;
      if (!leaver.mapped().own_process) entry->note.clear();
      if (entry->claims.empty()) unclaimed(entry);
    }
  }
  for (const auto& waiting : gone) {
    if (waiting.deadline != 0) (void)deps_.timers.cancel(waiting.deadline);
    waiting.sink->answered(fail(ErrorKind::cancelled, "the plugin has left"));
  }
}

void Launcher::unclaimed(const std::shared_ptr<Entry>& entry) {
  entry->unclaimed = deps_.timers.after(kUnclaimed, [this, weak = std::weak_ptr(entry)] {
    const auto late = weak.lock();
    if (!late) return;
    std::shared_ptr<Helper> helper;
    {
      const Lock lock(mutex_);
      if (!late->claims.empty()) return;
      late->signal = SIGKILL;
      late->ending = true;
      helper = late->helper;
    }
    deps_.log.write(Level::info, "launcher",
                    "helper \"" + late->name + "\" is ended: no instance of its plugin claims it");
    if (helper) helper->end();
  });
}

// ---- start --------------------------------------------------------------------------------------

void Launcher::spawn(const Caller& caller, const CallRequest& request, const std::shared_ptr<CallSink>& sink) {
  auto wanted = parse_request(request);
  if (!wanted) {
    sink->answered(std::unexpected(wanted.error()));
    return;
  }
  const Key key{caller.plugin, wanted->name};
  std::shared_ptr<Entry> entry;
  std::shared_ptr<Helper> runs;
  std::string note;
  std::optional<Error> refused;
  TimerKey claimed = 0;
  {
    const Lock lock(mutex_);
    const auto of_plugin = [&](const auto& each) { return each.first.first == caller.plugin; };
    if (!plugins_.contains(caller.origin)) {
      refused = Error{ErrorKind::cancelled, "the plugin has left", {}};
    } else if (const auto it = entries_.find(key); it != entries_.end()) {
      if (it->second->command != wanted->command) {
        refused = Error{ErrorKind::conflict,
                        "helper \"" + wanted->name + "\" runs with another command; take another name, or end it first",
                        {}};
      } else if (it->second->ending) {
        refused = Error{
            ErrorKind::conflict, "helper \"" + wanted->name + "\" is just being ended; process.wait says when", {}};
      } else {
        it->second->claims.insert(caller.origin);
        claimed = std::exchange(it->second->unclaimed, 0);
        runs = it->second->helper;
        note = it->second->note;
        if (!runs) it->second->starters.push_back({caller.origin, sink});
      }
    } else if (stopping_) {
      refused = Error{ErrorKind::unavailable, "the host is stopping", {}};
    } else if (entries_.size() >= deps_.limits.in_all || std::count_if(entries_.begin(), entries_.end(), of_plugin) >=
                                                             static_cast<std::ptrdiff_t>(deps_.limits.per_plugin)) {
      refused = Error{ErrorKind::overloaded,
                      "too many helpers run: a plugin may have " + std::to_string(deps_.limits.per_plugin) +
                          ", all together " + std::to_string(deps_.limits.in_all) + "; end one first",
                      R"({"retry_after_ms":1000})"};
    } else {
      entry = std::make_shared<Entry>();
      entry->name = wanted->name;
      entry->command = wanted->command;
      entry->starters.push_back({caller.origin, sink});
      entry->claims.insert(caller.origin);
      entries_.emplace(key, entry);
    }
  }
  if (claimed != 0) (void)deps_.timers.cancel(claimed);
  if (refused) sink->answered(std::unexpected(*refused));
  if (runs) sink->answered(handed_over(wanted->name, *runs, true, note));
  if (!entry) return;
  auto job = [this, key, entry, command = std::move(wanted->command), granted = caller.granted,
              traceparent = request.traceparent] {
    started(key, entry, Helper::start(deps_.spawner, deps_.program, command, granted, traceparent));
  };
  if (auto taken = deps_.pool.spawn(std::move(job)); !taken) started(key, entry, std::unexpected(taken.error()));
}

void Launcher::started(const Key& key, const std::shared_ptr<Entry>& entry, Result<std::shared_ptr<Helper>> helper) {
  std::vector<Waiting> starters;
  std::vector<Waiting> waiters;
  int signal = 0;
  {
    const Lock lock(mutex_);
    starters.swap(entry->starters);
    if (helper) {
      entry->helper = *helper;
      signal = stopping_ ? SIGKILL : entry->signal;
    } else {
      entries_.erase(key);
      waiters.swap(entry->waiters);
      changed_.notify_all();
    }
  }
  if (!helper) {
    for (auto* list : {&starters, &waiters}) {
      for (const auto& waiting : *list) waiting.sink->answered(std::unexpected(helper.error()));
    }
    return;
  }
  deps_.log.write(Level::info, "launcher",
                  key.first + " runs helper \"" + key.second + "\": " + entry->command.argv.front() + ", process " +
                      std::to_string((*helper)->pid()));
  std::string notes;
  for (const auto& note : (*helper)->notes()) notes += (notes.empty() ? "" : "; ") + note;
  if (!notes.empty()) deps_.log.write(Level::info, "launcher", key.first + ": helper \"" + key.second + "\": " + notes);
  bool warm = false;
  for (const auto& starter : starters)
    starter.sink->answered(handed_over(key.second, **helper, std::exchange(warm, true)));
  if (signal == SIGKILL) {
    (*helper)->end();
  } else if (signal != 0) {
    (void)(*helper)->signal(signal);
  }
  watch(key, entry, *helper);
}

void Launcher::watch(const Key& key, const std::shared_ptr<Entry>& entry, const std::shared_ptr<Helper>& helper) {
  deps_.workers.first().post([this, key, entry, helper] {
    const auto watch = std::make_shared<Watch>(deps_.workers.first().context(), helper->guard());
    auto& guard = watch->guard;
    guard.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                     [this, key, entry, watch](const boost::system::error_code& failed) {
                       watch->leave();
                       if (!failed) ended(key, entry);
                     });
  });
}

// ---- the end ------------------------------------------------------------------------------------

void Launcher::remember(const Key& key, const HelperEnd& end) {
  auto& list = ended_[key.first];
  std::erase_if(list, [&](const Ended& e) { return e.name == key.second; });
  list.push_back({key.second, end});
  if (list.size() > kEnded) list.pop_front();
}

// On the worker.
void Launcher::ended(const Key& key, const std::shared_ptr<Entry>& entry) {
  std::shared_ptr<Helper> helper;
  {
    const Lock lock(mutex_);
    helper = entry->helper;
  }
  const HelperEnd end = helper->became();
  std::vector<Waiting> waiters;
  TimerKey timer = 0;
  {
    const Lock lock(mutex_);
    waiters.swap(entry->waiters);
    timer = std::exchange(entry->unclaimed, 0);
    entries_.erase(key);
    remember(key, end);
  }
  if (timer != 0) (void)deps_.timers.cancel(timer);
  json event = to_json(end);
  const std::string answer = dump_json(event);
  event.update({{"plugin", key.first}, {"name", key.second}});
  deps_.log.write(Level::info, "launcher", key.first + ": helper \"" + key.second + "\" has ended: " + answer);
  (void)deps_.bus.publish("host.process.exited", dump_json(event));
  for (const auto& waiting : waiters) {
    if (waiting.deadline != 0) (void)deps_.timers.cancel(waiting.deadline);
    waiting.sink->answered(answer);
  }
  const Lock lock(mutex_);
  changed_.notify_all();
}

bool Launcher::stop(Duration budget) {
  const auto until = std::chrono::steady_clock::now() + budget;
  const Lock lock(mutex_);
  stopping_ = true;
  for (const auto& [key, entry] : entries_) {
    if (entry->helper) entry->helper->end();
  }
  while (!entries_.empty()) {
    if (!changed_.wait_until(mutex_, until)) break;
  }
  return entries_.empty();
}

}  // namespace gantry::host
