// SPDX-License-Identifier: Apache-2.0
//
// Editors whose server was stopped (lsp.stop). They keep their session: editors start a server that has ended again, or
// give it up until their user intervenes. What an editor tells is followed, its requests are refused, and its user is
// told once; after lsp.restart the next process is given all that is open, and settings that were changed meanwhile
// count. An editor whose `initialize` is not answered gets an error, and its stream ends.
#include "plugins/lsp/attach.hpp"
#include "plugins/lsp/messages.hpp"

namespace gantry::lsp {

void AttachSession::pass_while_stopped(Client& client, std::string_view text, const Envelope& e, DeferredActions& fx) {
  if (!e.is_request()) {  // the server is not sent it
    (void)forward_notification(client, text, e, fx);
    return;
  }
  const std::string id(e.id);
  if (e.method() != "shutdown") return answer_error(client, id, kRequestFailed, stopped_error(config().name), fx);
  client.shutdown = true;
  fx.items.push_back({client.editor, R"({"jsonrpc":"2.0","id":)" + id + R"(,"result":null})"});
}

void AttachSession::stopped(const Error& error, DeferredActions& fx) {
  const auto all = clients_;  // some may go
  for (const auto& [id, client] : all) {
    if (client->ended) continue;
    if (!client->answered) {
      if (!client->init_id.empty()) answer_error(*client, client->init_id, kRequestFailed, error, fx);
      leave(*client, std::unexpected(error), fx);
      continue;
    }
    while (!client->queue.empty()) {
      const std::string text = client->queue.front().text;
      drop_queued(*client, client->queue.begin());
      pass_while_stopped(*client, text, scan(text, Scan::route), fx);
    }
    if (std::exchange(client->told_stopped, true)) continue;
    constexpr int kWarning = 2;
    fx.items.push_back({client->editor, dump_json({{"jsonrpc", "2.0"},
                                                   {"method", "window/showMessage"},
                                                   {"params", {{"type", kWarning}, {"message", error.message}}}})});
  }
  fx.run.push_back([all] {});  // they die without the lock
}

void AttachSession::revived(DeferredActions& fx) {
  bool needed = false;
  for (const auto& [id, client] : clients_) {
    client->told_stopped = false;
    if (const auto& changed = client->configuration_text;
        !client->ended && !changed.empty() && changed != configuration_text_) {
      client->queued_bytes += changed.size();
      client->queue.push_front({changed, 0, TimePoint::max(), ++turns_, 1});  // it was consumed when it came
    }
    needed = needed || (client->answered && !client->ended && !client->shutdown);
  }
  if (!needed) return;
  if (const auto may = may_follow(); !may) return gave_up(may.error(), fx);
  server_.step(ServerEvent::want, fx);
}

}  // namespace gantry::lsp
