// SPDX-License-Identifier: Apache-2.0
//
// model_manager.hpp: the worker behind all models.
//
// One thread owns every transfer and every prediction. It receives commands through a bounded mpsc
// channel; each command carries the sending end of a oneshot for its one outcome (see job.hpp). The
// thread sleeps in curl_multi_poll, which a command wakes: all HTTP transfers are driven at once,
// predictions run in small slices between them, and an idle worker uses no CPU.
//
//   serial thread ── StartAttempt ──► mpsc ──► worker ──► curl_multi / EmbeddedAttempt
//        ▲                                        │
//        └── notify ◄── items: mpsc, outcome: oneshot
//
// When the worker is gone, by shutdown() or by a failure of its own, its receiving end is gone with
// it: start() refuses with `unavailable`, and the oneshots of open attempts close. An exception in
// one attempt fails only that attempt. The request, not the worker, handles time-outs, retries and
// permits. There is one exception: if a key has expired (openai_attempt.hpp), the worker has the
// command print another key and repeats the attempt, which stays one attempt for the request. It
// does not do so for a key that was printed for this attempt.
//
// Thread rule: start, forget_keys, wake and shutdown from any thread, shutdown by one.
// Bounds: kCommands commands wait; more are refused with `overloaded`.
#pragma once

#include <curl/curl.h>

#include <functional>
#include <gantry/channel/mpsc.hpp>
#include <gantry/plugin/host.hpp>
#include <gantry/result.hpp>
#include <string>
#include <thread>

#include "plugins/ai/job.hpp"
#include "plugins/ai/keys.hpp"

namespace gantry::ai {

inline constexpr std::size_t kCommands = 1024;

/// `unavailable` with data.reason "worker_channel_closed".
[[nodiscard]] Error worker_gone();

class ModelManager {
 public:
  using Log = std::function<void(Level, const std::string&)>;

  ModelManager(Log log, RunKeyCommand keys);
  ModelManager(const ModelManager&) = delete;
  ModelManager& operator=(const ModelManager&) = delete;
  ~ModelManager();

  [[nodiscard]] Result<void> start(StartAttempt command);
  /// Attempts that start from now on have commands print their keys anew.
  void forget_keys();
  /// Makes the worker look at the attempts' controls.
  void wake();
  /// Ends the worker and closes every open attempt without an outcome. Joins the thread.
  void shutdown();

 private:
  ModelManager(Log log, RunKeyCommand keys, mpsc::Channel<StartAttempt> channel);
  void run(mpsc::Receiver<StartAttempt> commands) noexcept;

  Log log_;
  RunKeyCommand run_key_command_;
  CURLM* multi_;
  std::atomic<bool> quit_{false};
  std::atomic<bool> forget_keys_{false};
  mpsc::Sender<StartAttempt> commands_;
  std::thread thread_;
};

}  // namespace gantry::ai
