// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/inline/inline_start.hpp: a plugin is loaded and started inside this process, within
// a time limit.
//
// It happens on a thread of its own, which is let go when it does not return: from the library's own initialisation,
// from create() or from start(). Should it come back one day, what it has made is kept as it is, and nobody hears of
// it.
//
// Thread rule: wait() by one thread, which it blocks; give_up() from any thread, and a timer's.
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

  /// Where the system gives no thread it happens here, and is over on return, without a limit.
  [[nodiscard]] static std::shared_ptr<InlineStart> begin(std::filesystem::path library, PluginBasics basics,
                                                          Workers& workers, HungWatch watch, json config);
  /// Until it has started, has failed, or was given up.
  [[nodiscard]] Started wait();
  /// wait() returns, with this, unless it has ended.
  void give_up(const std::string& why);
  /// After wait(): its thread was let go.
  [[nodiscard]] bool is_given_up() const;

 private:
  InlineStart() = default;
  [[nodiscard]] Started run(const std::filesystem::path& library, PluginBasics basics, Workers& workers,
                            HungWatch watch, const json& config);

  [[nodiscard]] Started end();

  std::thread thread_;  ///< of who waits
  mutable Mutex mutex_;
  CondVar changed_;
  std::shared_ptr<InlinePlugin> loaded_ GANTRY_GUARDED_BY(mutex_);  ///< it is being started
  std::optional<Started> ended_ GANTRY_GUARDED_BY(mutex_);
  std::optional<std::string> given_up_ GANTRY_GUARDED_BY(mutex_);  ///< why
};

}  // namespace gantry::host
