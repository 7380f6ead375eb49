// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/inline/inline_start.hpp: loads and starts a plugin inside this process, within a
// time limit.
//
// The start happens on a thread of its own, which is detached when it does not return: from the
// library's own initialisation, from create() or from start(). Should that thread return later, its
// plugin is kept as it is, and nobody is told.
//
// Thread rule: wait() by one thread, which it blocks; give_up() from any thread, a timer's
// included.
#pragma once

#include <filesystem>
#include <gantry/json.hpp>
#include <gantry/mutex.hpp>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "host/plugins/inline/inline_plugin.hpp"

namespace gantry::host {

class InlineStart {
 public:
  using Started = Result<std::shared_ptr<InlinePlugin>>;

  InlineStart(const InlineStart&) = delete;
  InlineStart& operator=(const InlineStart&) = delete;

  /// Where the system gives no thread, the start happens within this call, without a limit.
  [[nodiscard]] static std::shared_ptr<InlineStart> begin(std::filesystem::path library, PluginBasics basics,
                                                          Workers& workers, HungWatch watch, json config);
  /// Blocks until the plugin has started, has failed, or was given up.
  [[nodiscard]] Started wait();
  /// Makes wait() return with this error, unless the start has ended.
  void give_up(const std::string& why);
  /// After wait(). True: the thread was detached.
  [[nodiscard]] bool is_given_up() const;

 private:
  InlineStart() = default;
  [[nodiscard]] Started run(const std::filesystem::path& library, PluginBasics basics, Workers& workers,
                            HungWatch watch, const json& config);

  [[nodiscard]] Started end();

  std::thread thread_;  ///< joined or detached by the thread in wait()
  mutable Mutex mutex_;
  CondVar changed_;
  std::shared_ptr<InlinePlugin> loaded_ GANTRY_GUARDED_BY(mutex_);  ///< set while it is being started
  std::optional<Started> ended_ GANTRY_GUARDED_BY(mutex_);
  std::optional<std::string> given_up_ GANTRY_GUARDED_BY(mutex_);  ///< the reason
};

}  // namespace gantry::host
