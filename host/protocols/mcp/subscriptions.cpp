// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/mcp/subscriptions.hpp"

#include <algorithm>
#include <utility>

namespace gantry::host::mcp {

namespace {

/// The topics on which changes of these resources are published.
[[nodiscard]] std::vector<std::string> topics_of(const std::set<std::string>& uris, const Catalog& catalog) {
  std::set<std::string> topics;
  for (const auto& uri : uris) {
    const auto found = catalog.resource(uri);
    if (found && !found->entry->changes.empty()) topics.insert(found->entry->changes);
  }
  return {topics.begin(), topics.end()};
}

}  // namespace

void Subscriptions::subscribe(const RequestPtr& request, const std::string& uri, const Catalog& catalog) {
  request->on_cancel = [this, waits = request.get()] { forget(waits); };
  follow({request, topics_of({uri}, catalog), [this, request, uri](const Result<void>& followed) {
            if (!request->open) return;
            if (!followed) return requests_.fail(request, failure_of(followed.error()));
            if (!uris_.contains(uri) && uris_.size() >= kMaxUris)
              return requests_.fail(request,
                                    {code::kInternal,
                                     std::to_string(kMaxUris) + " resources are subscribed to; unsubscribe from one",
                                     {{"kind", "overloaded"}}});
            uris_.insert(uri);
            requests_.reply(request, json::object());
          }});
}

void Subscriptions::unsubscribe(const RequestPtr& request, const std::string& uri) {
  uris_.erase(uri);
  requests_.reply(request, json::object());
}

void Subscriptions::listen(const RequestPtr& request, const json& filter, const Catalog& catalog) {
  if (listens_.size() >= kMaxListens)
    return requests_.fail(request, {code::kInternal,
                                    std::to_string(kMaxListens) + " subscriptions are open; cancel one",
                                    {{"kind", "overloaded"}}});
  auto listen = std::make_shared<Listen>(request);
  const auto wants = [&](const char* member) { return filter.value(member, json()) == true; };
  listen->tools = wants("toolsListChanged");
  listen->prompts = wants("promptsListChanged");
  listen->resources = wants("resourcesListChanged");
  const json uris = filter.value("resourceSubscriptions", json::array());
  if (!uris.is_array() || uris.size() > kMaxUris || !std::ranges::all_of(uris, &json::is_string))
    return requests_.fail(request, {code::kInvalidParams, "resourceSubscriptions must be an array of at most " +
                                                              std::to_string(kMaxUris) + " URIs"});
  // What cannot be told is not agreed to.
  for (const auto& uri : uris) {
    const auto found = catalog.resource(uri.get_ref<const std::string&>());
    if (found && !found->entry->changes.empty()) listen->uris.insert(uri.get<std::string>());
  }
  listens_.push_back(listen);
  request->on_cancel = [this, listen] {
    std::erase(listens_, listen);
    forget(listen->request.get());
  };
  follow({request, topics_of(listen->uris, catalog), [this, listen](const Result<void>& followed) {
            if (!listen->request->open) return;
            if (followed) return acknowledge(listen);
            std::erase(listens_, listen);
            requests_.fail(listen->request, failure_of(followed.error()));
          }});
}

void Subscriptions::acknowledge(const ListenPtr& listen) {
  json agreed = json::object();
  if (listen->tools) agreed["toolsListChanged"] = true;
  if (listen->prompts) agreed["promptsListChanged"] = true;
  if (listen->resources) agreed["resourcesListChanged"] = true;
  if (!listen->uris.empty()) agreed["resourceSubscriptions"] = listen->uris;
  notify(*listen, "notifications/subscriptions/acknowledged", {{"notifications", std::move(agreed)}});
  listen->acknowledged = true;
}

void Subscriptions::notify(const Listen& listen, std::string_view method, json params) {
  params["_meta"][meta::kSubscription] = json::parse(listen.request->id);
  requests_.notify(listen.request, method, params);
}

void Subscriptions::list_changed(Catalog::List list) {
  const char* method = "notifications/resources/list_changed";
  auto wants = &Listen::resources;
  if (list == Catalog::List::tools) {
    method = "notifications/tools/list_changed";
    wants = &Listen::tools;
  } else if (list == Catalog::List::prompts) {
    method = "notifications/prompts/list_changed";
    wants = &Listen::prompts;
  }
  if (tells_lists_) client_.send(notification_text(method, json::object()), {});
  for (const auto& listen : listens_) {
    if (listen->acknowledged && (*listen).*wants) notify(*listen, method, json::object());
  }
}

void Subscriptions::event(std::string_view topic, const json& payload, const Catalog& catalog) {
  const std::string uri = text_member(payload, "uri");
  const auto found = catalog.resource(uri);
  if (!found || found->entry->changes != topic) return;
  updated(uri);
}

void Subscriptions::updated(const std::string& uri) {
  constexpr const char* kUpdated = "notifications/resources/updated";
  if (uris_.contains(uri)) client_.send(notification_text(kUpdated, {{"uri", uri}}), {});
  for (const auto& listen : listens_) {
    if (listen->acknowledged && listen->uris.contains(uri)) notify(*listen, kUpdated, {{"uri", uri}});
  }
}

std::set<std::string> Subscriptions::all_uris() const {
  std::set<std::string> all = uris_;
  for (const auto& listen : listens_) all.insert(listen->uris.begin(), listen->uris.end());
  return all;
}

void Subscriptions::host_lost() {
  followed_.clear();
  missed_ = true;
}

void Subscriptions::follow(const Catalog& catalog) {
  forget(nullptr);  // an older catalog's
  follow({nullptr, topics_of(all_uris(), catalog), [this](const Result<void>& followed) {
            if (!followed || !std::exchange(missed_, false)) return;
            for (const auto& uri : all_uris()) updated(uri);
          }});
}

void Subscriptions::follow(Waiting wanted) {
  if (asking_) {
    waiting_.push_back(std::move(wanted));
    return;
  }
  std::erase_if(wanted.topics, [this](const auto& topic) { return followed_.contains(topic); });
  if (wanted.topics.empty()) return wanted.then({});
  asking_ = true;
  const std::string params = dump_json({{"topics", wanted.topics}});
  host_.call("events.subscribe", params,
             {.answered = [this, wanted = std::move(wanted)](const Result<std::string_view>& answer) {
               asking_ = false;
               if (answer) followed_.insert(wanted.topics.begin(), wanted.topics.end());
               wanted.then(answer ? Result<void>() : std::unexpected(answer.error()));
               for (auto& next : std::exchange(waiting_, {})) follow(std::move(next));
             }});
}

void Subscriptions::forget(const Request* request) {
  std::erase_if(waiting_, [&](const Waiting& waiting) { return waiting.request.get() == request; });
}

void Subscriptions::end() {
  for (const auto& listen : std::exchange(listens_, {})) {
    json result = json::object();
    result["_meta"][meta::kSubscription] = json::parse(listen->request->id);
    requests_.reply(listen->request, std::move(result));
  }
}

}  // namespace gantry::host::mcp
