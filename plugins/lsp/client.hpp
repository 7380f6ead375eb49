// SPDX-License-Identifier: Apache-2.0
//
// client.hpp: what an attach session (attach.hpp) keeps for one of its clients: the stream to the editor, what the
// editor has said of itself, and the messages that wait.
//
// A client moves from one session to another with all of this: when it has said which root it works in and there is a
// server that it may share, and when its settings become others than those of the server's other clients.
//
// Thread rule: the lock of the session that has the client, but for the constant members and `seat`, which is used
// serially with the plugin's handlers.
// Bounds: as in attach.hpp.
#pragma once

#include <cstdint>
#include <deque>
#include <gantry/permits.hpp>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "plugins/lsp/capabilities/superset.hpp"
#include "plugins/lsp/capabilities/understood.hpp"
#include "plugins/lsp/editor.hpp"
#include "plugins/lsp/notebooks.hpp"
#include "plugins/lsp/standing.hpp"
#include "plugins/lsp/views.hpp"

namespace gantry::lsp {

class AttachSession;

struct Client {
  /// Where the callbacks of the stream find the session that has the client now.
  struct Seat {
    std::weak_ptr<AttachSession> session;
  };
  struct Queued {
    std::string text{};
    long long request = 0;     ///< the plugin's id of the request; 0: a notification
    TimePoint deadline;        ///< max(): none
    std::uint64_t turn = 0;    ///< the messages of all clients have their turns in this order
    unsigned repetitions = 0;  ///< how often the request was sent before
  };

  /// What it keeps of the answers of the server's present process, and may send back (attach_results.cpp).
  struct Kept {
    bool replaced = false;            ///< it had answers of another process before
    std::uint16_t items = 0;          ///< the kinds of items that it was given since
    std::set<std::string> diagnosed;  ///< what it was answered diagnostics of since (Pending::result_of)
    void renew();
  };

  Client(ClientId id_in, std::shared_ptr<Editor> editor_in, std::shared_ptr<Seat> seat_in, std::string asked_root_in,
         std::string home_in)
      : id(id_in),
        editor(std::move(editor_in)),
        seat(std::move(seat_in)),
        asked_root(std::move(asked_root_in)),
        home(std::move(home_in)) {}

  const ClientId id;  ///< unique among all clients of this instance of the plugin
  const std::shared_ptr<Editor> editor;
  const std::shared_ptr<Seat> seat;
  const std::string asked_root;  ///< the folder that the caller named, or empty
  const std::string home;        ///< the editor's folder, used when no root exists

  bool guest = false;       ///< the callers of this root (guest.hpp), no editor
  bool files_told = false;  ///< it wants clangd's `textDocument/clangd.fileStatus`
  bool greeted = false;     ///< it has sent `initialize`
  bool answered = false;    ///< ... which was answered
  bool admitted = false;    ///< it has a view
  bool held = false;        ///< its messages wait until it is known whether it may share the server
  bool shutdown = false;
  bool ended = false;  ///< its stream is answered
  bool told_stopped = false;
  std::string init_id, init_params, initialized_text, configuration_text;
  std::shared_ptr<const Understood> understood = std::make_shared<Understood>();
  Features lacks = 0;                ///< features that a server may use only if all of its clients have them
  Features without = 0;              ///< of these, what its server is not offered
  std::vector<std::string> folders;  ///< as paths
  std::map<std::string, std::string> environment;  ///< its values of the variables that the server's table names
  std::set<const void*> unlike;                    ///< sessions whose servers have other settings than this client
  Standing standing;
  TrackedNotebooks notebooks;  ///< open in its server, which is then its alone
  Kept kept;

  std::deque<Queued> queue;
  std::size_t queued_bytes = 0, queued_requests = 0;
  bool waits_for_permit = false;
  Permit spare;
  std::uint32_t consumed = 0;
  std::uint64_t taken_then = 0;                 ///< what its editor had taken when its open questions were looked at
  std::size_t requests = 0;                     ///< that the server was sent
  bool looked = false;                          ///< at the disk, for the messages that wait
  bool looking = false;                         ///< the worker was asked to
  std::unique_ptr<TrackedDocuments> documents;  ///< while it moves
};

}  // namespace gantry::lsp
