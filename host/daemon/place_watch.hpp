// SPDX-License-Identifier: Apache-2.0
//
// host/daemon/place_watch.hpp: tells when files of the host may have lost their names: a cleaner of
// temporary files, the last logout, an unmounting.
//
// The kernel tells (inotify on the folders of the files and on those above them, and /proc/self/mountinfo); nothing is
// looked at meanwhile. What it cannot tell, a client does by wake_state_holder(), which changes the times of the lock
// file: an event as well.
//
// Thread rule: the first worker, or before it runs. `look` is called there, after events; it may call watch().
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <filesystem>
#include <functional>
#include <gantry/result.hpp>
#include <memory>
#include <string>
#include <vector>

#include "host/runtime/workers.hpp"

namespace gantry::host {

class PlaceWatch : public std::enable_shared_from_this<PlaceWatch> {
 public:
  enum class Why { changed, asked };
  using Look = std::function<void(Why)>;

  PlaceWatch(Workers& workers, Look look);
  /// Watches these files from now on, and none that was watched before; who touches the last one asks. A folder that is
  /// missing is not watched. `unavailable`: the system gives no watch.
  [[nodiscard]] Result<void> watch(const std::vector<std::filesystem::path>& files);
  /// `look` is not called any more.
  void stop();

 private:
  using Descriptor = boost::asio::posix::stream_descriptor;
  void wait();
  [[nodiscard]] Why read_events();
  void watch_mounts();
  void wait_for_mounts();

  Workers& workers_;
  Look look_;
  int asking_folder_ = -1;
  std::string asking_file_;
  std::shared_ptr<Descriptor> inotify_;
  std::shared_ptr<Descriptor> mounts_;
};

}  // namespace gantry::host
