// SPDX-License-Identifier: Apache-2.0
//
// host/daemon/places.hpp: the places of a host: its socket and its state folder. Both may lose
// their names while the host runs (a cleaner of temporary files, the last logout), and another host
// may have the state folder.
//
// The socket is made anew where it was, as often as it is removed. Where that fails (/run/user/UID
// is gone with the session), the socket is made at the fallback, until the first place can be used
// again; clients find it there by the state folder's lock. The state folder belongs to one host.
// Another host serves without the plugins that keep a log of their own, because two hosts cannot
// write one log, and takes the folder over when it is free.
//
// Thread rule: open() before the workers run; stop() on the first worker, or when none runs;
//   may_start() on a thread that may block; warnings() from any thread. The places are checked and
//   mended on the first worker.
// Bounds: a missing place is mended a moment after an event (at once when a client asks); after a
//   failure it is tried again with a pause that doubles up to a minute. No timer runs while both
//   are in place.
#pragma once

#include <filesystem>
#include <gantry/json.hpp>
#include <gantry/mutex.hpp>
#include <memory>
#include <optional>

#include "host/daemon/place_watch.hpp"
#include "host/daemon/state_lock.hpp"
#include "host/protocols/rpc/unix_server.hpp"
#include "host/services/plugin_spec.hpp"

namespace gantry::host {

class Places {
 public:
  struct Deps {
    Workers& workers;
    Timers& timers;
    Log& log;
    UnixServer& server;
  };
  struct Options {
    std::filesystem::path socket;
    std::filesystem::path fallback;  ///< empty: there is none
    std::filesystem::path state_dir;
    bool needs_state = false;  ///< open() fails without the state folder
  };

  Places(Deps deps, Options options);
  Places(const Places&) = delete;
  Places& operator=(const Places&) = delete;

  /// Takes the state folder and the socket, and opens the server. `conflict`: another host has the
  /// socket, or, if that is needed, the state folder; other errors as UnixServer::open().
  [[nodiscard]] Result<void> open();
  /// No place is mended any more.
  void stop();
  /// `unavailable`, with the holder's name: the plugin keeps a log, and another host has the state
  /// folder.
  [[nodiscard]] Result<void> may_start(const PluginSpec& spec);
  /// What keeps parts of this host from working, for its clients: an array of texts.
  [[nodiscard]] json warnings() const;

 private:
  [[nodiscard]] bool all_in_place() const;
  void look(PlaceWatch::Why why);
  void mend();
  void mend_after(Duration pause);
  void mend_socket();
  void mend_state_lock();
  void watch();
  [[nodiscard]] std::shared_ptr<const StateLock> state_lock() const;
  void publish_socket();

  const Deps deps_;
  const Options options_;
  const std::shared_ptr<PlaceWatch> watch_;
  TimerKey mend_timer_ = 0;      ///< 0: none is set; the first worker's, as the next member
  Duration mend_again_after_{};  ///< zero: all is in place
  mutable Mutex mutex_{"places"};
  std::shared_ptr<const StateLock> state_lock_ GANTRY_GUARDED_BY(mutex_);
  std::optional<Error> state_problem_ GANTRY_GUARDED_BY(mutex_);  ///< why this host does not have the state folder
};

}  // namespace gantry::host
