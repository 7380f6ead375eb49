// SPDX-License-Identifier: Apache-2.0
//
// views.hpp: the documents of a server that several clients share, and who may see what the server says of them.
//
// Each client has a view: the texts of the documents that it has open, and for every other document the text on the
// disk. A server has one text for each document, so it shows one view at a time; clients with equal texts share a view.
// `show` changes the server's texts to those of a client's view, by didChange with whole texts, whose versions rise.
// The session (attach.hpp) sends a client's messages only while the server shows that client's view, and changes the
// view only while no request of another client is open, so no answer comes from another client's text.
//
// Diagnostics come whenever the server likes, so each is gated: a client gets those of a document only if the server
// has shown the client's view, without a break, since it got that document's version. One that names no version counts
// for the last version, once the server has answered a request that was sent after it (`settled`). What was withheld is
// owed: the document is sent anew, as a further version of the same text, when the client's view is shown. A document
// that is not open cannot be sent anew: an empty list for that, with which a server withdraws what it said while the
// document was open, is for all.
//
// Versions: the server's rise over all clients; while one client is alone they are its own. `client_version` translates
// those in answers. A doubt is resolved against sharing: a text on the disk that is not known counts as another.
//
// Thread rule: one thread at a time.
// Bounds: kVersions translated versions for a document and client, kMaxPublished documents whose last diagnostics are
//   kept, of kMaxPublishedBytes in all (others are asked for anew), kMaxFloors documents whose last versions are known
//   after they were closed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plugins/lsp/documents.hpp"

namespace gantry::lsp {

using ClientId = std::uint64_t;

class Views {
 public:
  static constexpr std::size_t kVersions = 32;
  static constexpr std::size_t kMaxPublished = 4096;
  static constexpr std::size_t kMaxPublishedBytes = std::size_t{16} << 20;
  static constexpr std::size_t kMaxFloors = 4096;
  static constexpr unsigned kTries = 3;

  using Send = std::function<void(std::string_view message)>;
  struct Delivery {
    ClientId to = 0;
    std::string message;
    bool latest = true;  ///< they are for the client's text of now, as far as the server says for which
  };

  /// A client with the documents that it had open at another server, or with none. Those are not sent: `show` does.
  void add(ClientId client, std::unique_ptr<TrackedDocuments> documents = nullptr);
  /// Closes what no other client has open, and returns what the client had open. A client that is left alone is shown
  /// its view.
  std::unique_ptr<TrackedDocuments> remove(ClientId client, const Send& send);
  [[nodiscard]] bool has(ClientId client) const { return clients_.contains(client); }
  [[nodiscard]] bool alone() const { return clients_.size() <= 1; }
  [[nodiscard]] const TrackedDocuments& documents(ClientId client) const { return *clients_.at(client).documents; }
  /// True: the server has the document open.
  [[nodiscard]] bool server_has(const std::string& key) const { return server_.contains(key); }
  void set_encoding(Encoding encoding);
  /// Why the documents of a client cannot be opened in another process; empty: they can be.
  [[nodiscard]] std::string lost() const;

  // ---- the disk
  /// The paths of the documents whose text on the disk belongs to the client's view. Empty for a client alone.
  [[nodiscard]] std::vector<std::string> needed_from_disk(ClientId client) const;
  /// All paths of open documents.
  [[nodiscard]] std::vector<std::string> open_paths() const;
  [[nodiscard]] bool knows_disk(const std::string& path) const { return disk_.contains(path); }
  /// A path, and the text of that file on the disk; nothing: there is no such file.
  using OnDisk = std::pair<std::string, std::optional<std::string>>;
  void disk_is(std::vector<OnDisk> texts);

  // ---- the view
  /// True: the server's texts are those of the client's view. Always true for a client alone.
  [[nodiscard]] bool shows(ClientId client) const;
  /// Changes the server's texts to the client's view. The disk's part of it is known.
  void show(ClientId client, const Send& send);
  /// True: this notification changes a text that other clients' open requests may read.
  [[nodiscard]] bool disturbs(ClientId client, std::string_view method, std::string_view params) const;

  struct Forwarded {
    std::string language;  ///< of a document that was opened
    bool refused = false;  ///< nothing was sent: the document is another client's, or the change makes no sense
    std::string shared;    ///< the key of a document that was opened, and whose text the server has already
  };
  /// Passes a notification of a client about a document (TrackedDocuments::concerns) on to the server, which shows the
  /// client's view. `params`: raw.
  [[nodiscard]] Forwarded forward(ClientId client, std::string_view method, std::string_view message,
                                  std::string_view params, const Send& send);

  // ---- what the server says
  /// The client's version of a document whose version at the server is this; nothing: that was not its text.
  [[nodiscard]] std::optional<long long> client_version(ClientId client, const std::string& uri,
                                                        long long version) const;
  /// A publishDiagnostics notification. Returns the messages for the clients that may see it.
  [[nodiscard]] std::vector<Delivery> published(std::string_view message, std::string_view params);
  /// The last publishDiagnostics notification for a document, as the server wrote it; empty: there is none.
  [[nodiscard]] std::string published_for(const std::string& uri) const;
  /// The number of changes of the server's texts so far.
  [[nodiscard]] std::uint64_t changes() const { return changes_; }
  /// The server has answered a request that was sent after so many changes.
  void settled(std::uint64_t changes);
  /// The last diagnostics of all documents, for a client that has just come; what cannot be shown is owed.
  [[nodiscard]] std::vector<Delivery> present(ClientId client);
  /// The same for one document, which the client has just opened with a text that the server has already.
  [[nodiscard]] std::vector<Delivery> present(ClientId client, const std::string& key);
  /// Sends the documents anew whose diagnostics are owed to clients whose view is shown, but for those that can be
  /// presented by now, which are added to `presented`. True: some were sent.
  [[nodiscard]] bool pay(const Send& send, std::vector<Delivery>& presented);
  /// A client whose view is not shown, and to which diagnostics of a document are owed that it has opened or changed
  /// since it was told of any; 0: none. kTries times for each change: a server need not publish anything.
  [[nodiscard]] ClientId waits_for_diagnostics();
  /// Sends a document that the client has open, with the text that the server has, once more: the client gets the
  /// diagnostics of this version, and none from before.
  void send_anew(ClientId client, const std::string& key, const Send& send) {
    clients_.at(client).versions.erase(key);
    send_text(key, kDisk, send, true);
  }
  /// True: diagnostics are owed to a client whose view is shown.
  [[nodiscard]] bool owes() const;

  // ---- another server process, or another instance of the plugin
  /// Opens every document of every client in a new process.
  void reopen(const Send& send);
  [[nodiscard]] json suspend() const;
  /// Throws json::exception when `suspended` does not come from suspend().
  void restore(const json& suspended);
  /// Servers that want no didChange are sent didClose and didOpen instead.
  void set_takes_changes(bool takes) { takes_changes_ = takes; }

 private:
  struct Version {
    long long servers = 0, clients = 0;
  };
  struct Seen {
    std::uint64_t other_until = 0;  // another view was shown after so many changes
    std::uint64_t doubt = 0;        // after so many changes it is not known what the disk has; 0: no doubt
  };
  struct Client : Seen {
    std::unique_ptr<TrackedDocuments> documents = std::make_unique<TrackedDocuments>();
    std::map<std::string, std::deque<Version>> versions;  // by key
    std::set<std::string> owed;                           // keys
    unsigned tries = 0;                                   // to have it told, since it has opened or changed a document
    std::set<std::string> untold;  // keys that the client has opened or changed since it was told of diagnostics
  };
  struct ServerDocument {
    std::string uri, language;
    long long version = 0;
    std::deque<std::pair<long long, std::uint64_t>> sent{};  // versions, and the number of the change that sent each
    ClientId source = kDisk;                                 // whose text the server has
    std::string text{};  // if that is no client's: the disk's, or of a client that has closed the document
  };
  struct Published {
    std::string message;
    std::optional<long long> version;
    std::uint64_t settled = 0;  // the server had seen so many changes
    bool none = false;          // the list is empty
  };
  static constexpr ClientId kDisk = 0;

  [[nodiscard]] const std::string& text_of(const ServerDocument& document, const std::string& key) const;
  [[nodiscard]] bool wants(const Client* client, const std::string& key, const ServerDocument& document) const;
  [[nodiscard]] bool shows(const Client* client) const;
  [[nodiscard]] bool may_show(const Client* client) const;
  void note(const Client* client, Seen& seen);
  void changed(const std::string& key);
  void close_lost(ClientId client, const Send& send);
  void note_others();
  void note_version(ClientId client, const std::string& key, long long servers, long long clients);
  [[nodiscard]] long long next_version(const std::string& key, long long wanted) const;
  void send_open(const std::string& key, ClientId source, const Send& send);
  void send_close(const std::string& key, const Send& send);
  void send_text(const std::string& key, ClientId source, const Send& send, bool again = false);
  void show_document(ClientId client, const std::string& key, const Send& send);
  [[nodiscard]] bool give_to_another(const std::string& key, const Send& send);
  void opened(ClientId client, const std::string& key, std::string_view message, const Send& send, Forwarded& out);
  [[nodiscard]] bool may_see(const Client& client, const std::string& key, const Published& published) const;
  [[nodiscard]] bool is_latest(ClientId client, const std::string& key, const Published& published) const;
  [[nodiscard]] std::string for_client(ClientId client, const std::string& key, const Published& published) const;
  void present(ClientId client, const std::string& key, const Published& published, std::vector<Delivery>& out);

  std::map<ClientId, Client> clients_;
  std::map<std::string, ServerDocument> server_;            // by key
  std::map<std::string, std::optional<std::string>> disk_;  // what is known of open documents, by path
  std::map<std::string, Published> published_;              // by key
  std::map<std::string, long long> floors_;                 // the last version of a closed document, by key
  long long floor_ = 0;                                     // of those that are not in floors_
  std::size_t published_bytes_ = 0;
  bool were_several_ = false;
  bool takes_changes_ = true;
  bool names_versions_ = false;  // the server does, in diagnostics
  Encoding encoding_ = Encoding::utf16;
  std::uint64_t changes_ = 0;
  std::uint64_t settled_ = 0;
  Seen disk_view_;                      // of a client without documents
  bool published_are_lacking_ = false;  // some that the server has published are not in published_
};

}  // namespace gantry::lsp
