// SPDX-License-Identifier: Apache-2.0
//
// How a new build takes the place of the one that runs, while calls come.
//
// Overlap: the new instance starts beside the old one, takes its place in the slot, and only then does the old one
// refuse calls. A call that had the old one in its hand and comes too late was never seen by a plugin: the router takes
// it to the slot again. Handover: the old instance leaves the slot first, so that calls wait there for the start, as
// they do for any; the start lets the old one end its calls, stops it, and tries the new build, or else the old one
// again.
#include <algorithm>
#include <gantry/params.hpp>
#include <utility>

#include "host/plugins/library/elf.hpp"
#include "host/services/service_manager.hpp"

namespace gantry::host {

// Of a build that is tried, also when it is refused: a restart by hand then goes back to the one before it.
void ServiceManager::note_built(Entry& entry, const PluginSpec& spec) {
  std::error_code failed;
  const auto written = std::filesystem::last_write_time(spec.library, failed);
  if (failed) return;
  Lock lock(mutex_);
  entry.built = written;
}

bool ServiceManager::was_rebuilt(const Entry& entry) const {
  const auto spec = spec_of(entry);
  std::error_code failed;
  const auto written = std::filesystem::last_write_time(spec->library, failed);
  Lock lock(mutex_);
  return !failed && entry.built && *entry.built != written;
}

// The one that the host has started lies where an author's next build will: who writes there writes into whatever runs
// it, and a process started later would open that. One that has never run is taken anew when it was mended.
Result<void> ServiceManager::keep_build(Entry& entry, const PluginSpec& spec) {
  if (!spec.copy.empty()) return {};
  std::filesystem::path kept;
  bool is_first = false;
  bool has_run = false;
  {
    Lock lock(mutex_);
    kept = entry.kept;
    is_first = !entry.built;
    has_run = entry.has_run;
  }
  std::error_code failed;
  const bool is_there = !kept.empty() && (!spec.child || std::filesystem::exists(kept, failed));
  if (is_there && (has_run || !was_rebuilt(entry))) return {};
  if (is_first || !has_run) note_built(entry, spec);
  auto copy = spec.child ? copies_.take(spec.name, spec.library) : copies_.take_anywhere(spec.name, spec.library);
  if (!copy) {
    // A process of its own may open what lies there: no other dies of it.
    if (spec.child && copy.error().kind == ErrorKind::storage_failed) return {};
    return std::unexpected(copy.error());
  }
  LibraryCopies::drop(kept);
  Lock lock(mutex_);
  entry.kept = std::move(*copy);
  return {};
}

Result<void> ServiceManager::reload(const std::string& plugin) {
  const auto found = entry_of(plugin);
  if (!found) return std::unexpected(found.error());
  Entry& entry = **found;
  if (auto ok = begin_change("reload " + plugin, false); !ok) return ok;
  const Change change{*this};
  if (auto ok = has_room_for_another(entry); !ok) return ok;
  const auto next = next_build(entry);
  if (!next) return std::unexpected(next.error());
  const auto old = spec_of(entry);
  const bool handover = next->spec->manifest->handover || (old->manifest && old->manifest->handover);
  const bool runs = entry.slot->peek() != nullptr;
  auto done = runs && !handover ? reload_by_overlap(entry, *next) : reload_through_start(entry, *next, runs);
  if (!done) LibraryCopies::drop(next->spec->copy);
  return done;
}

// Nobody is told to come again because of a renewal: that is waited for, and it waits for the others.
Result<void> ServiceManager::begin_change(const std::string& again, bool renewal) {
  Lock lock(mutex_);
  while ((renewal || renewing_) && changing_ && !stopping_) changed_.wait(mutex_);
  if (stopping_) return fail(ErrorKind::unavailable, "the host is stopping");
  if (changing_) return fail(ErrorKind::conflict, "another reload runs; " + again + " when it has ended");
  changing_ = true;
  renewing_ = renewal;
  return {};
}

void ServiceManager::end_change() {
  Lock lock(mutex_);
  changing_ = false;
  renewing_ = false;
  changed_.notify_all();
}

Result<void> ServiceManager::has_room_for_another(const Entry& entry) const {
  Lock lock(mutex_);
  if (entry.ending >= kMaxEnding)
    return fail(ErrorKind::overloaded,
                std::to_string(kMaxEnding) + " old instances of plugin " + entry.name + " end their calls still",
                R"({"retry_after_ms":1000})");
  return {};
}

std::vector<std::string> ServiceManager::confined_too_narrowly() const {
  std::vector<std::string> out;
  for (const auto& [name, entry] : entries_) {
    const auto running = entry.slot->peek();
    if (!running || !running->pid()) continue;
    std::optional<Confinement> then;
    {
      Lock lock(mutex_);
      then = entry.confined;
    }
    const auto now = granted(name);
    if (then && now &&
        (then->read != now->read || then->write != now->write || then->environment != now->environment ||
         then->pinned != now->pinned))
      out.push_back(name);
  }
  return out;
}

void ServiceManager::resolve_grants(const GrantPlaces& places) const {
  const auto all = table();
  for (const auto& spec : all->specs()) {
    for (const GrantKind kind : {GrantKind::read, GrantKind::write}) {
      for (const auto& granted : granted_paths(spec.grants(), kind, places))
        (void)pins_->resolve(granted.path, granted.within);
    }
  }
}

bool ServiceManager::renew_workspace(const std::string& folder) const { return pins_->renew(folder); }

Result<void> ServiceManager::renew(const std::string& plugin) {
  const auto found = entry_of(plugin);
  if (!found) return std::unexpected(found.error());
  Entry& entry = **found;
  if (auto ok = begin_change({}, true); !ok) return ok;
  const Change change{*this};
  if (auto ok = has_room_for_another(entry); !ok) return ok;
  if (entry.slot->peek() == nullptr) return {};  // its next start knows what it may
  const auto same = build_of(entry);
  return same.spec->manifest->handover ? reload_through_start(entry, same, true) : reload_by_overlap(entry, same);
}

Result<std::vector<std::string>> ServiceManager::add(std::vector<PluginSpec> found) {
  const auto is_known = [this](const PluginSpec& spec) { return entries_.contains(spec.name); };
  std::vector<std::string> names;
  if (std::ranges::all_of(found, is_known)) return names;
  if (auto ok = begin_change("ask again", false); !ok) return std::unexpected(ok.error());
  std::erase_if(found, is_known);
  if (entries_.size() + found.size() > kMaxPlugins) {
    end_change();
    return fail(ErrorKind::overloaded, "there are " + std::to_string(entries_.size()) + " plugins, and " +
                                           std::to_string(found.size()) + " more would be too many; restart the host");
  }
  for (const auto& spec : found) {
    names.push_back(spec.name);
    make_entry(spec);
  }
  auto next = table_with(std::move(found));
  {
    Lock lock(mutex_);
    std::swap(table_, next);
  }
  end_change();
  if (deps_.changed) deps_.changed();
  for (const auto& name : names) arm_activation(entries_.at(name));
  return names;
}

// All of them, or else each on its own: who takes from another stays out of order.
PluginTablePtr ServiceManager::table_with(std::vector<PluginSpec> fresh) const {
  auto next = table();
  if (auto all = PluginTable::adding(*next, fresh)) return *all;
  for (auto& spec : fresh) {
    auto with = PluginTable::adding(*next, {spec});
    if (!with) {
      spec.failure = with.error().message;
      spec.manifest.reset();
      with = PluginTable::adding(*next, {std::move(spec)});
    }
    if (with) next = *with;
  }
  return next;
}

Result<ServiceManager::Build> ServiceManager::next_build(Entry& entry) {
  const auto old = table();
  PluginSpec next = *PluginTable::share(old, entry.name);
  const auto wrong = [&](const std::string& why) {
    return fail(ErrorKind::unavailable, "plugin " + entry.name + " cannot be reloaded: " + why);
  };
  if (!next.enabled) return wrong("it is disabled; set enabled = true in [plugins." + entry.name + "]");
  if (next.library.empty()) return wrong(next.failure);
  if (!next.child) {
    Lock lock(mutex_);
    if (entry.builds >= kMaxBuilds)
      return fail(ErrorKind::overloaded, std::to_string(kMaxBuilds) + " builds of plugin " + entry.name +
                                             " are in this process; restart the host, or run it with isolation = "
                                             "\"child\"");
  }
  Result<std::filesystem::path> copy;
  note_built(entry, next);
  auto manifest = read_manifest_with(next.library, [&]() -> Result<void> {
    if (copy) LibraryCopies::drop(*copy);
    copy = copies_.take(entry.name, next.library);
    return copy ? Result<void>() : std::unexpected(copy.error());
  });
  if (!manifest) {
    if (copy) LibraryCopies::drop(*copy);
    if (manifest.error().kind == ErrorKind::conflict) return std::unexpected(manifest.error());
    return wrong(manifest.error().message);
  }
  next.take(std::move(*manifest));
  next.failure.clear();
  next.copy = *copy;
  if (auto waits = refuse_untrusted(entry, next)) {
    LibraryCopies::drop(*copy);
    return std::unexpected(std::move(*waits));
  }
  const auto refuse = [&](const std::string& why) {
    LibraryCopies::drop(*copy);
    return wrong(why);
  };
  if (!next.child) {
    const auto library = read_elf(*copy, next.library.string());
    if (!library) return refuse(library.error().message);
    const auto& unique = library->unique;
    if (!unique.empty())
      return refuse(
          "its library has symbols that exist once in a process, so that a new build would use those of the "
          "old one (" +
          unique.front() + (unique.size() > 1 ? " and others" : "") +
          "); build it with hidden visibility or -fno-gnu-unique, or run it with isolation = \"child\"");
  }
  auto fitting = PluginTable::with(*old, std::move(next));
  if (!fitting) return refuse(fitting.error().message);
  Lock lock(mutex_);
  ++entry.builds;
  return Build{*fitting, PluginTable::share(*fitting, entry.name)};
}

// From here on everything that is asked of the plugin is asked of the new build.
void ServiceManager::adopt(Entry& entry, const Build& next) {
  PluginTablePtr old;
  std::filesystem::path kept;
  {
    Lock lock(mutex_);
    if (next.spec == PluginTable::share(table_, entry.name)) return;  // it is renewed
    old = std::exchange(table_, next.table);
    kept = std::exchange(entry.kept, {});
  }
  LibraryCopies::drop(PluginTable::share(old, entry.name)->copy);
  LibraryCopies::drop(kept);
  if (deps_.changed) deps_.changed();
}

// In a start.
Result<ServiceManager::Instance> ServiceManager::try_next(Entry& entry, const Build& next) {
  auto plugin = load_and_start(entry, next, true);
  if (plugin) adopt(entry, next);
  Lock lock(mutex_);
  entry.tried = plugin ? Result<void>() : std::unexpected(plugin.error());
  return plugin;
}

// In the first start of a plugin that was built anew since the host has read its manifest: what lies there now is it.
// Not while a reload runs, which may be what waits for this start. `permission_denied`: it asks for more by now.
Result<void> ServiceManager::take_rebuilt(Entry& entry) {
  const auto spec = spec_of(entry);
  if (!spec->manifest || !spec->enabled) return {};
  {
    Lock lock(mutex_);
    if (entry.has_run) return {};
  }
  const auto now = read_manifest(spec->library);
  if (!now || now->document == spec->manifest->document) return {};
  {
    Lock lock(mutex_);
    if (stopping_ || std::exchange(changing_, true)) return {};
  }
  const auto next = next_build(entry);
  if (next) adopt(entry, *next);
  end_change();
  if (next) deps_.log.write(Level::info, "plugins", entry.name + " was built anew before it was started");
  if (!next && next.error().kind == ErrorKind::permission_denied) return std::unexpected(next.error());
  return {};  // what else is wrong with it, its start finds
}

Result<void> ServiceManager::reload_through_start(Entry& entry, const Build& next, bool runs) {
  // A start that runs already has not seen what it is to try: then once more.
  constexpr int kTimes = 3;
  for (int i = 0; i < kTimes; ++i) {
    {
      Lock lock(mutex_);
      entry.next = next;
      entry.tried.reset();
    }
    entry.slot->release();
    if (entry.slot->retire()) tell("draining", entry.name);
    const auto started = entry.slot->get();
    std::optional<Result<void>> tried;
    {
      Lock lock(mutex_);
      tried = std::exchange(entry.tried, std::nullopt);
      entry.next.reset();
    }
    if (!started && (!tried || *tried)) return std::unexpected(started.error());
    if (!tried) continue;
    if (!*tried && runs && started)
      return fail(tried->error().kind, tried->error().message + "; the build before it was started again",
                  tried->error().data);
    return *tried;
  }
  return fail(ErrorKind::conflict, "plugin " + entry.name + " was being started all the time; reload it again");
}

Result<void> ServiceManager::reload_by_overlap(Entry& entry, const Build& next) {
  if (!begin_work()) return fail(ErrorKind::unavailable, "the host is stopping");
  const auto made = load_and_start(entry, next, true);
  if (made) entry.slot->put_aside(*made);
  end_work(made ? *made : nullptr);
  if (!made) return fail(made.error().kind, made.error().message + "; the build before it goes on", made.error().data);
  std::optional<Instance> old;
  for (;;) {
    auto replaced = entry.slot->replace(*made);
    if (!replaced) {
      Lock lock(mutex_);
      std::erase(live_, *made);
      return std::unexpected(replaced.error());
    }
    if ((old = std::move(*replaced))) break;
    (void)entry.slot->get();  // the old one died meanwhile, and was started again by who called it
  }
  adopt(entry, next);
  (*made)->reconfigure([this, &entry] { return config_of_(*spec_of(entry)); });
  if (*old) end_old(entry, std::move(*old));
  return {};
}

// Elsewhere: who asked for the reload has what was asked for.
void ServiceManager::end_old(Entry& entry, Instance old) {
  {
    Lock lock(mutex_);
    ++entry.ending;
    ++working_;
  }
  run_elsewhere([this, &entry, ending = std::move(old)] {
    (void)ending->drain(std::chrono::steady_clock::now() + kGrace);
    const bool returned = ending->stop(kGrace);
    {
      Lock lock(mutex_);
      std::erase(live_, ending);
      abandoned_ = abandoned_ || (!returned && !ending->pid());
      --entry.ending;
      --working_;
      changed_.notify_all();
    }
    tell("stopped", entry.name, "a new build has replaced it");
  });
}

}  // namespace gantry::host
