// SPDX-License-Identifier: Apache-2.0
//
// host/daemon/place_watch.hpp: detects when the names of the host's files may have been removed, by
// a cleaner of temporary files, the last logout, or an unmounting.
//
// The kernel reports changes (inotify on the folders of the files and on those above them, and
// /proc/self/mountinfo), so nothing is polled. A change that the kernel does not report, a client
// reports by wake_state_holder(), which changes the times of the lock file: that is an event as
// well.
//
// Thread rule: all functions on the first worker, or before it runs. `look` is called there, after
// events; it may call watch().
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
  /// Watches these files instead of those before. A client that touches the last file asks for a
  /// look. A folder that is missing is not watched. `unavailable`: the system gives no watch.
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
