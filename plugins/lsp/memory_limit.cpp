// SPDX-License-Identifier: Apache-2.0
//
// The memory limit of a server ([lsp.servers.NAME] max_memory_mib): looked at every kMemoryCheck while a process of a
// server with a limit runs, on the worker, since /proc may take its time. A process that is above the limit at
// kChecksAbove looks in a row is asked to end, and another follows as after a crash.
#include "plugins/lsp/server_runner.hpp"

namespace gantry::lsp {

namespace {

constexpr std::uint64_t kMib = std::uint64_t{1} << 20;

}  // namespace

// The next look is planned when the one before is over: a worker that is busy has one of them to do.
void ServerRunner::watch_memory() {
  if (config_.max_memory_mib == 0 || is_guest()) return;
  (void)context_->host.after(kMemoryCheck, [this, user = user_.weak_from_this(), watched = std::weak_ptr(process_)] {
    const auto alive = user.lock();
    const auto process = watched.lock();
    if (!alive || !process) return;
    ServerUser::Section section(*alive);
    if (process == process_ && is_limited(state())) look_at_memory(process, section.fx);
  });
}

void ServerRunner::look_at_memory(const std::shared_ptr<ServerConnection>& process, DeferredActions& fx) {
  const auto limit = static_cast<std::uint64_t>(config_.max_memory_mib) * kMib;
  fx.run.push_back([this, user = user_.weak_from_this(), process, limit, context = context_] {
    auto looks = [this, user, process, limit] {
      const auto usage = usage_of(process->pid(), limit);
      if (const auto alive = user.lock()) memory_is(process, usage);
    };
    if (context->worker.post(std::move(looks))) return;
    if (const auto alive = user.lock()) memory_is(process, std::nullopt);
  });
}

void ServerRunner::memory_is(const std::shared_ptr<ServerConnection>& process, const std::optional<Usage>& usage) {
  ServerUser::Section section(user_);
  if (process_ != process || !is_limited(state())) return;
  const auto mib = usage ? usage->memory() / kMib : 0;
  checks_above_ =
      usage && usage->memory() > static_cast<std::uint64_t>(config_.max_memory_mib) * kMib ? checks_above_ + 1 : 0;
  if (checks_above_ < kChecksAbove) return watch_memory();
  step(
      ServerEvent::exceeded,
      {.fx = &section.fx,
       .reason = "used " + std::to_string(mib) + " MiB of memory (" + (usage->pss_bytes ? "proportional" : "resident") +
                 " set, " + std::to_string(usage->processes) + (usage->processes == 1 ? " process" : " processes") +
                 "), over its limit of " + std::to_string(config_.max_memory_mib) + " MiB (max_memory_mib)"});
}

}  // namespace gantry::lsp
