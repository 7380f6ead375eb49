// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/edits/proposals.hpp"

#include <algorithm>
#include <utility>

namespace gantry::lsp {

std::string Proposals::add(const std::string& workspace, Plan plan, TimePoint now) {
  Proposal added{.id = {}, .workspace = workspace, .plan = {}, .bytes = plan.bytes(), .made = now};
  added.plan = std::make_shared<const Plan>(std::move(plan));
  Lock lock(mutex_);
  expire(now);
  added.id = "edit-" + std::to_string(instance_) + "-" + std::to_string(++last_);
  const auto is_ours = [&](const Proposal& other) { return other.workspace == workspace; };
  if (static_cast<std::size_t>(std::ranges::count_if(all_, is_ours)) >= kMaxCount)
    drop(std::ranges::find_if(all_, is_ours));
  bytes_ += added.bytes;
  all_.push_back(std::move(added));
  while (bytes_ > kMaxBytes && all_.size() > 1) drop(all_.begin());
  return all_.back().id;
}

Result<std::shared_ptr<const Plan>> Proposals::find(const std::string& id, const std::string& workspace,
                                                    TimePoint now) {
  Lock lock(mutex_);
  expire(now);
  const auto it = std::ranges::find(all_, id, &Proposal::id);
  if (it != all_.end() && it->workspace == workspace) return it->plan;
  return fail(ErrorKind::not_found,
              "no edit " + id + " is proposed in " + workspace +
                  ": it was applied, is older than an hour, or others took its room; ask for the edit anew");
}

void Proposals::remove(const std::string& id) {
  Lock lock(mutex_);
  if (const auto it = std::ranges::find(all_, id, &Proposal::id); it != all_.end()) drop(it);
}

void Proposals::drop(std::deque<Proposal>::iterator it) {
  bytes_ -= it->bytes;
  all_.erase(it);
}

void Proposals::expire(TimePoint now) {
  while (!all_.empty() && now - all_.front().made > kMaxAge) drop(all_.begin());
}

}  // namespace gantry::lsp
