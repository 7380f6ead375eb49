// SPDX-License-Identifier: Apache-2.0
#include "plugins/ai/model_manager.hpp"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <exception>
#include <list>
#include <memory>
#include <stdexcept>

#include "plugins/ai/embedded_attempt.hpp"
#include "plugins/ai/keys.hpp"
#include "plugins/ai/openai_attempt.hpp"

namespace gantry::ai {

namespace {

constexpr int kSleepMs = 3'600'000;  // woken by commands and sockets; this only bounds a wait

// What the worker's thread owns.
class Worker {
 public:
  Worker(CURLM* multi, mpsc::Receiver<StartAttempt> commands, RunKeyCommand keys, std::atomic<bool>& forget_keys)
      : multi_(multi),
        commands_(std::move(commands)),
        forget_keys_(forget_keys),
        keys_(std::move(keys), [multi] { (void)curl_multi_wakeup(multi); }) {}
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker() {
    for (auto& transfer : transfers_) (void)curl_multi_remove_handle(multi_, transfer.attempt->handle());
  }

  void run(const std::atomic<bool>& quit) {
    while (!quit.load()) {
      while (auto command = commands_.try_recv()) begin(std::move(*command));
      // After the commands: one that was sent later than the wish to forget is started later, too.
      if (forget_keys_.exchange(false)) keys_.forget_all();
      drop_cancelled();
      start_waiting();
      bool busy = predict();
      busy = transfer() || busy;
      // A prediction that has more to say, or an attempt that needs another key, is not kept waiting by the sockets.
      const auto status = curl_multi_poll(multi_, nullptr, 0, busy ? 0 : kSleepMs, nullptr);
      if (status != CURLM_OK) throw std::runtime_error(curl_multi_strerror(status));
    }
  }

 private:
  // An attempt that waits for its key.
  struct Waiting {
    StartAttempt start;
    bool printing = false;           // a command that it waits for prints its key
    std::optional<Refused> refused;  // without `start`: how it ended with the key before
    // A second refusal, or that of a key which was printed for it, is its outcome.
    [[nodiscard]] bool last() const { return printing || refused; }
  };

  void begin(StartAttempt command) {
    if (command.target.provider->kind == ProviderKind::embedded) {
      predictions_.emplace_back(std::move(command));
    } else {
      waiting_.push_back(Waiting{std::move(command), false, {}});
    }
  }

  void drop_cancelled() {
    waiting_.remove_if([](const Waiting& one) { return one.start.outlet.cancelled(); });
    predictions_.remove_if([](EmbeddedAttempt& attempt) { return attempt.outlet().cancelled(); });
    for (auto it = transfers_.begin(); it != transfers_.end();) {
      it = it->attempt->outlet().cancelled() ? remove(it) : std::next(it);
    }
  }

  // Those whose key is known.
  void start_waiting() {
    for (auto it = waiting_.begin(); it != waiting_.end();) {
      auto key = keys_.get(*it->start.target.provider, it->last());
      if (!key) {
        it->printing = true;
        ++it;
        continue;
      }
      if (!*key) {
        it->start.outlet.finish(std::unexpected(without_key(*it, key->error())));
      } else if (it->refused && it->refused->key == (*key)->text) {
        it->start.outlet.finish(std::unexpected(std::move(it->refused->failure)));
      } else {
        const bool last = it->last();
        start_transfer(std::move(it->start), std::move(**key), last);
      }
      it = waiting_.erase(it);
    }
  }

  [[nodiscard]] static Failure without_key(Waiting& waiting, const Error& why) {
    if (!waiting.refused) {
      return Failure{
          Error{why.kind, "provider \"" + waiting.start.target.provider->name + "\": " + why.message, why.data},
          false,
          {}};
    }
    Failure failure = std::move(waiting.refused->failure);
    failure.error.message += "; its key cannot be fetched anew: " + why.message;
    return failure;
  }

  void start_transfer(StartAttempt start, Key key, bool last) {
    auto attempt = std::make_unique<OpenAiAttempt>(std::move(start), std::move(key));
    const auto added = curl_multi_add_handle(multi_, attempt->handle());
    if (added != CURLM_OK) {
      attempt->outlet().finish(
          std::unexpected(Failure{Error{ErrorKind::internal, curl_multi_strerror(added), {}}, false, {}}));
      return;
    }
    transfers_.push_back(Transfer{std::move(attempt), last});
  }

  // One slice of each prediction. True: there is more to do at once.
  [[nodiscard]] bool predict() {
    bool busy = false;
    for (auto it = predictions_.begin(); it != predictions_.end();) {
      auto step = EmbeddedAttempt::Step::over;
      try {
        step = it->step();
      } catch (const std::exception& e) {
        it->outlet().finish(std::unexpected(
            Failure{Error{ErrorKind::internal, std::string("the prediction failed: ") + e.what(), {}}, false, {}}));
      }
      busy = busy || step == EmbeddedAttempt::Step::more;
      it = step == EmbeddedAttempt::Step::over ? predictions_.erase(it) : std::next(it);
    }
    return busy;
  }

  // True: an attempt needs another key.
  [[nodiscard]] bool transfer() {
    for (auto& transfer : transfers_) transfer.attempt->resume();
    int running = 0;
    if (const auto status = curl_multi_perform(multi_, &running); status != CURLM_OK) {
      throw std::runtime_error(curl_multi_strerror(status));
    }
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const auto it = std::find_if(transfers_.begin(), transfers_.end(), [&](const Transfer& transfer) {
        return transfer.attempt->handle() == message->easy_handle;
      });
      if (it != transfers_.end()) it->attempt->ended(message->data.result);
    }
    bool refused = false;
    for (auto it = transfers_.begin(); it != transfers_.end();) {
      OpenAiAttempt& attempt = *it->attempt;
      if (attempt.key_refused()) {
        keys_.forget(attempt.provider(), attempt.key_run());
        if (!it->last) {
          Refused taken = attempt.take_refused();
          StartAttempt start = std::move(taken.start);
          waiting_.push_back(Waiting{std::move(start), false, std::move(taken)});
          refused = true;
          it = remove(it);
          continue;
        }
      }
      it = attempt.settle() ? remove(it) : std::next(it);
    }
    return refused;
  }

  struct Transfer {
    std::unique_ptr<OpenAiAttempt> attempt;
    bool last;  // its key is not fetched anew
  };
  using Transfers = std::list<Transfer>;
  Transfers::iterator remove(Transfers::iterator it) {
    // This closes the connection, or returns it to the pool when it may be used again.
    (void)curl_multi_remove_handle(multi_, it->attempt->handle());
    return transfers_.erase(it);
  }

  CURLM* multi_;
  mpsc::Receiver<StartAttempt> commands_;
  std::atomic<bool>& forget_keys_;
  KeyRing keys_;
  std::list<Waiting> waiting_;
  std::list<EmbeddedAttempt> predictions_;
  Transfers transfers_;
};

}  // namespace

Error worker_gone() {
  return Error{ErrorKind::unavailable, "the model worker is gone; restart the host",
               R"({"reason":"worker_channel_closed"})"};
}

ModelManager::ModelManager(Log log, RunKeyCommand keys)
    : ModelManager(std::move(log), std::move(keys), mpsc::channel<StartAttempt>(kCommands)) {}

ModelManager::ModelManager(Log log, RunKeyCommand keys, mpsc::Channel<StartAttempt> channel)
    : log_(std::move(log)), run_key_command_(std::move(keys)), multi_(nullptr), commands_(std::move(channel.tx)) {
  if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) multi_ = curl_multi_init();
  if (multi_ == nullptr) throw std::runtime_error("libcurl does not start");
  (void)curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, 16L);
  thread_ = std::thread([this, rx = std::move(channel.rx)]() mutable { run(std::move(rx)); });
}

ModelManager::~ModelManager() {
  shutdown();
  (void)curl_multi_cleanup(multi_);
}

Result<void> ModelManager::start(StartAttempt command) {
  if (auto sent = commands_.try_send(std::move(command)); !sent) {
    if (sent.error().kind == ErrorKind::unavailable) return std::unexpected(worker_gone());
    return fail(ErrorKind::overloaded, "the model worker's queue is full; try again later",
                R"({"retry_after_ms":1000})");
  }
  wake();
  return {};
}

void ModelManager::forget_keys() {
  forget_keys_.store(true);
  wake();
}

void ModelManager::wake() { (void)curl_multi_wakeup(multi_); }

void ModelManager::shutdown() {
  quit_.store(true);
  wake();
  if (thread_.joinable()) thread_.join();
}

void ModelManager::run(mpsc::Receiver<StartAttempt> commands) noexcept {
  sigset_t all;
  sigfillset(&all);
  (void)pthread_sigmask(SIG_BLOCK, &all, nullptr);
  try {
    Worker(multi_, std::move(commands), run_key_command_, forget_keys_).run(quit_);
  } catch (const std::exception& e) {
    log_(Level::error, std::string("the model worker has ended: ") + e.what());
  }
}

}  // namespace gantry::ai
