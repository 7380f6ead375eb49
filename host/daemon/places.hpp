// SPDX-License-Identifier: Apache-2.0
//
// host/daemon/places.hpp: the places of a host, its socket and its state folder. Both may lose
// their names while it runs (a cleaner of temporary files, the last logout), and another host may
// have the state folder.
//
// The socket is made anew where it was, as often as it is removed. Where that cannot be (/run/user/UID is gone with the
// session), at the fallback, until the first place can be had again; clients find it there by the state folder's lock.
// The state folder: one host has it. Another one serves without the plugins that keep a log of their own, because two
// hosts cannot write one log, and takes the folder over when it is free.
//
// Thread rule: open() before the workers run; stop() on the first worker, or when none runs; may_start() where one may
// block; warnings() from any thread. Looking and mending happen on the first worker.
// Bounds: what is missing is mended a moment after an event (at once when a client asks); what cannot be is tried again
//   with a pause that doubles up to a minute. Nothing runs while all is in place.
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
    bool needs_state = false;  ///< without the state folder it does not open
  };

  Places(Deps deps, Options options);
  Places(const Places&) = delete;
  Places& operator=(const Places&) = delete;

  /// Takes the state folder and the socket, and opens the server. `conflict`: another host has the socket, or, where it
  /// is needed, the state folder; other errors as UnixServer::open().
  [[nodiscard]] Result<void> open();
  /// Nothing is made anew any more.
  void stop();
  /// `unavailable`, naming the holder, for a plugin that keeps a log while another host has the state folder.
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
  TimerKey mend_timer_ = 0;      ///< 0: none waits; the first worker's, as the next
  Duration mend_again_after_{};  ///< zero: all is in place
  mutable Mutex mutex_{"places"};
  std::shared_ptr<const StateLock> state_lock_ GANTRY_GUARDED_BY(mutex_);
  std::optional<Error> state_problem_ GANTRY_GUARDED_BY(mutex_);  ///< why this host does not have it
};

}  // namespace gantry::host
