// SPDX-License-Identifier: Apache-2.0
#include "dispatcher.hpp"

#include "request.hpp"

namespace gantry::ai {

void Dispatcher::configure(std::shared_ptr<const AiConfig> config) {
  config_ = std::move(config);
  permits_->set_limit(config_->max_concurrent);
}

void Dispatcher::submit(Call call, std::shared_ptr<const Job> job, std::vector<Target> targets) {
  const std::uint64_t id = ++last_id_;
  auto request =
      std::make_shared<Request>(*this, id, std::move(call), std::move(job), std::move(targets), config_->timeout);
  open_[id] = request;
  request->begin();
}

void Dispatcher::gone(std::uint64_t origin) {
  const auto open = open_;
  for (const auto& [id, request] : open) {
    if (request->origin() == origin) request->cancel("its client has left");
  }
}

void Dispatcher::cancel_all(const char* why) {
  const auto open = open_;
  for (const auto& [id, request] : open) request->cancel(why);
}

}  // namespace gantry::ai
