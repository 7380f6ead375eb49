// SPDX-License-Identifier: Apache-2.0
//
// plugin.hpp: the lsp plugin: language servers for editors (lsp.attach) and for everyone else.
//
// Threads: the handlers here run serially and never wait, so the plugin is nonblocking; one thread
// waits for the servers' descriptors (reactor.hpp), one does work that may block (worker.hpp:
// files). The host starts the servers. session.hpp describes how the threads cooperate.
#pragma once

#include <cstdint>
#include <functional>
#include <gantry/params.hpp>
#include <gantry/plugin.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "plugins/lsp/environment.hpp"
#include "plugins/lsp/query_all.hpp"
#include "plugins/lsp/registry.hpp"

namespace gantry::lsp {

/// The longest wait of lsp.diagnostics.
inline constexpr std::int64_t kMaxWaitMs = 600'000;

enum class Tool;

class Lsp {
 public:
  explicit Lsp(Host host) : host_(std::move(host)) {}
  Lsp(const Lsp&) = delete;
  Lsp& operator=(const Lsp&) = delete;
  ~Lsp() {
    if (!context_) return;
    context_->stop();
    registry_->destroy();
  }

  Result<void> start(const PluginConfig& config) {
    auto settings = parse_settings(config);
    if (!settings) return std::unexpected(settings.error());
    auto reactor = Reactor::make();
    if (!reactor) return std::unexpected(reactor.error());
    context_ = std::make_shared<Context>(host_, std::move(*reactor), config.max_message_bytes);
    registry_ = std::make_shared<Registry>(context_);
    if (config.handed_over && !config.handed_over->empty()) restore(*config.handed_over);
    configure(std::move(*settings));
    recover_servers();
    return {};
  }

  void reconfigure(const PluginConfig& config) {
    auto settings = parse_settings(config);
    if (!settings) return host_.log(Level::error, "the old [lsp] stays in force: " + settings.error().message);
    configure(std::move(*settings));
  }

  void gone(std::uint64_t origin) {
    for (const auto& session : registry_->attached()) {
      for (const auto& client : session->clients_now()) {
        if (client->editor->origin() == origin) session->editor_left(client->id, json());
      }
    }
    registry_->client_left(origin);
  }

  void stop(Stopping stopping) {
    auto held = std::make_shared<Stopping>(std::move(stopping));
    const bool another_comes = held->give("").has_value();
    if (!another_comes) return registry_->stop(held);
    hand_over(held);
  }

  void attach(Call call);
  void request(Call call);
  void diagnostics(Call call);
  void servers(Call call);
  Result<json> environment(Call& call);
  Result<json> restart(Call& call);
  Result<json> stop_server(Call& call);

  static void define(Definition<Lsp>& d);

  /// A question of an agent (tools/), also about edits (edits/).
  template <Tool kTool>
  void tool(Call call);
  template <Tool kTool>
  void edit(Call call);

 private:
  void configure(Settings settings) {
    for (const auto& why : settings.refused) host_.log(Level::error, "the user's servers hold in " + why);
    registry_->configure(std::move(settings));
  }
  void recover_servers();
  void hand_over(const std::shared_ptr<Stopping>& stopping);
  void restore(const std::string& handed_over);
  void attach_again(Call call);
  [[nodiscard]] std::shared_ptr<AttachSession> restore_session(SuspendedSession& suspended);
  [[nodiscard]] AttachSession::Rules rules() const;
  static void connect(Call& call, const std::shared_ptr<Client::Seat>& seat, ClientId client);
  static void define_tools(Definition<Lsp>& d);
  static void define_edits(Definition<Lsp>& d);
  /// Asks the servers by a QueryAll, or by a QueryInTurn.
  template <class Queries, class Then, class... How>
  void begin(std::vector<Query::Ask> asks, Call call, Then then, How... how);
  [[nodiscard]] Result<std::vector<Query::Ask>> asks_for(Params& p);
  [[nodiscard]] Result<ServerConfig> server_for(const std::optional<std::string>& name,
                                                const std::optional<std::string>& language,
                                                std::string_view place) const;
  [[nodiscard]] std::string home_of(std::uint64_t origin) const;
  [[nodiscard]] Result<Environment> environment_of(const json& given, std::uint64_t origin) const;
  /// `not_found`: there is no server of this name.
  [[nodiscard]] Result<void> is_known(const std::string& server) const;
  [[nodiscard]] json described_servers() const;
  [[nodiscard]] json named_clients(const Session& session) const;

  const Host host_;
  std::shared_ptr<Context> context_;
  std::shared_ptr<Registry> registry_;
  std::unordered_map<std::uint64_t, SuspendedEditor> left_;  ///< from the instance before, until their streams come
};

}  // namespace gantry::lsp
