// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/inline/inline_start.hpp"

#include <functional>
#include <system_error>

namespace gantry::host {

std::shared_ptr<InlineStart> InlineStart::begin(std::filesystem::path library, PluginBasics basics, Workers& workers,
                                                HungWatch watch, json config) {
  std::shared_ptr<InlineStart> start(new InlineStart);
  // It keeps itself alive: who has let it go holds it no more.
  const auto job = std::make_shared<std::move_only_function<void()>>(
      [start, library = std::move(library), basics = std::move(basics), &workers, watch = std::move(watch),
       config = std::move(config)]() mutable {
        Started ended = fail(ErrorKind::internal, "out of memory");
        const std::string crash_file = watch.crash_file;
        const DeliveryMark mark(crash_file.empty() ? nullptr : crash_file.c_str(), true);
        try {
          ended = start->run(library, std::move(basics), workers, std::move(watch), config);
        } catch (const std::exception& e) {
          ended = fail(ErrorKind::internal, e.what());
        }
        Lock lock(start->mutex_);
        start->ended_.emplace(std::move(ended));
        start->changed_.notify_all();
      });
  try {
    start->thread_ = std::thread([job] { (*job)(); });
  } catch (const std::system_error&) {
    (*job)();  // the system gives no thread
  }
  return start;
}

InlineStart::Started InlineStart::run(const std::filesystem::path& library, PluginBasics basics, Workers& workers,
                                      HungWatch watch, const json& config) {
  auto plugin = InlinePlugin::load(library, std::move(basics), workers, std::move(watch));
  if (!plugin) return plugin;
  bool late = false;
  {
    Lock lock(mutex_);
    late = given_up_.has_value();
    if (!late) loaded_ = *plugin;
  }
  if (late) {
    (void)(*plugin)->abandon_start();
    return fail(ErrorKind::unavailable, "it was loaded too late");
  }
  if (auto started = (*plugin)->start(config); !started) return std::unexpected(started.error());
  return plugin;
}

InlineStart::Started InlineStart::wait() {
  std::shared_ptr<InlinePlugin> loaded;
  std::optional<std::string> why;
  {
    Lock lock(mutex_);
    while (!ended_ && !given_up_) changed_.wait(mutex_);
    if (!ended_) why = given_up_;
    loaded.swap(loaded_);
  }
  // One that has returned just now has started.
  if (!why || (loaded && !loaded->abandon_start())) return end();
  thread_.detach();
  return fail(ErrorKind::unavailable, *why);
}

InlineStart::Started InlineStart::end() {
  if (thread_.joinable()) thread_.join();
  Lock lock(mutex_);
  given_up_.reset();
  return std::move(*ended_);
}

void InlineStart::give_up(const std::string& why) {
  Lock lock(mutex_);
  if (ended_ || given_up_) return;
  given_up_ = why;
  changed_.notify_all();
}

bool InlineStart::is_given_up() const {
  Lock lock(mutex_);
  return given_up_.has_value();
}

}  // namespace gantry::host
