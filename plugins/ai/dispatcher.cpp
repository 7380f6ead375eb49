// SPDX-License-Identifier: Apache-2.0
#include "plugins/ai/dispatcher.hpp"

#include "plugins/ai/request.hpp"

namespace gantry::ai {

void Dispatcher::configure(std::shared_ptr<const AiConfig> config) {
  config_ = std::move(config);
  std::erase_if(permits_, [](const auto& entry) { return entry.second.use_count() == 1; });
  // Requests that are granted a permit may ask for other queues.
  const auto queues = permits_;
  for (const auto& [provider, queue] : queues) queue->set_limit(config_->max_concurrent);
}

std::shared_ptr<PermitQueue> Dispatcher::permits(const std::string& provider) {
  auto& queue = permits_[provider];
  if (!queue) queue = PermitQueue::make(config_->max_concurrent, kMaxWaiting);
  return queue;
}

void Dispatcher::submit(Call call, std::shared_ptr<const Job> job, std::vector<Target> targets) {
  const std::uint64_t id = ++last_id_;
  auto request =
      std::make_shared<Request>(*this, id, std::move(call), std::move(job), std::move(targets), config_->timeout);
  open_[id] = request;
  request->begin();
}

void Dispatcher::gone(std::uint64_t origin) {
  cancel_if([origin](const Request& request) { return request.origin() == origin; }, "its client has left");
}

void Dispatcher::cancel_all(const char* why) {
  cancel_if([](const Request&) { return true; }, why);
}

// The newest first: those that wait leave the queue before a permit comes back that would start them.
template <class F>
void Dispatcher::cancel_if(F&& chosen, const char* why) {
  const auto open = open_;
  for (auto it = open.rbegin(); it != open.rend(); ++it) {
    if (chosen(*it->second)) it->second->cancel(why);
  }
}

}  // namespace gantry::ai
