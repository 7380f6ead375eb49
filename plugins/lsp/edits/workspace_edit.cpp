// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/edits/workspace_edit.hpp"

#include <gantry/file_uri.hpp>
#include <utility>

namespace gantry::lsp {

namespace {

[[nodiscard]] std::unexpected<Error> malformed(const std::string& what) {
  return fail(ErrorKind::upstream_failed, "the server's edit is malformed: " + what);
}

[[nodiscard]] Result<std::string> path_in(const json& object, const char* member) {
  const auto it = object.is_object() ? object.find(member) : object.end();
  if (!object.is_object() || it == object.end() || !it->is_string())
    return malformed(std::string("a member ") + member + " is missing");
  auto path = to_path(it->get<std::string>());
  if (!path) return fail(ErrorKind::upstream_failed, "the server's edit names no file: " + path.error().message);
  return path;
}

[[nodiscard]] bool option(const json& operation, const char* name) {
  const json options = operation.value("options", json());
  return options.is_object() && options.value(name, json()) == true;
}

class Reader {
 public:
  [[nodiscard]] Result<WorkspaceEdit> read(const json& edit) {
    if (edit.is_null()) return std::move(out_);
    if (!edit.is_object()) return malformed("it is no object");
    annotations_ = edit.value("changeAnnotations", json());
    // Of servers that write both members an empty one means nothing.
    const json others = edit.value("changes", json());
    if (const auto list = edit.find("documentChanges");
        list != edit.end() && !list->is_null() && !(list->is_array() && list->empty() && !others.empty())) {
      if (!list->is_array()) return malformed("documentChanges is no array");
      if (list->size() > WorkspaceEdit::kMaxOperations) return too_many();
      for (const auto& each : *list) {
        if (auto added = document_change(each); !added) return std::unexpected(added.error());
      }
      return std::move(out_);
    }
    const auto changes = edit.find("changes");
    if (changes == edit.end() || changes->is_null()) return std::move(out_);
    if (!changes->is_object()) return malformed("changes is no object");
    if (changes->size() > WorkspaceEdit::kMaxOperations) return too_many();
    for (const auto& [uri, edits] : changes->items()) {
      if (auto added = add({{"uri", uri}}, edits); !added) return std::unexpected(added.error());
    }
    return std::move(out_);
  }

 private:
  [[nodiscard]] static std::unexpected<Error> too_many() {
    return fail(ErrorKind::too_large, "the server's edit has more than " +
                                          std::to_string(WorkspaceEdit::kMaxOperations) + " files, or " +
                                          std::to_string(WorkspaceEdit::kMaxEdits) + " changes");
  }

  Result<void> document_change(const json& change) {
    if (!change.is_object()) return malformed("a change of a document is no object");
    const auto kind = change.find("kind");
    if (kind == change.end()) return add(change.value("textDocument", json()), change.value("edits", json()));
    note(change);
    if (*kind == "rename") {
      auto from = path_in(change, "oldUri"), to = path_in(change, "newUri");
      if (!from) return std::unexpected(from.error());
      if (!to) return std::unexpected(to.error());
      out_.operations.emplace_back(
          RenameFile{std::move(*from), std::move(*to), option(change, "overwrite"), option(change, "ignoreIfExists")});
      return {};
    }
    auto path = path_in(change, "uri");
    if (*kind != "create" && *kind != "delete") return malformed("there is no file operation " + dump_json(*kind));
    if (!path) return std::unexpected(path.error());
    if (*kind == "create") {
      out_.operations.emplace_back(
          CreateFile{std::move(*path), option(change, "overwrite"), option(change, "ignoreIfExists")});
    } else {
      out_.operations.emplace_back(
          DeleteFile{std::move(*path), option(change, "recursive"), option(change, "ignoreIfNotExists")});
    }
    return {};
  }

  Result<void> add(const json& document, const json& edits) {
    auto path = path_in(document, "uri");
    if (!path) return std::unexpected(path.error());
    EditFile file{.path = std::move(*path), .version = std::nullopt, .edits = {}};
    const json version = document.value("version", json());
    if (!version.is_null() && !is_integer(version)) return malformed("a version is no integer");
    if (!version.is_null()) file.version = version.get<long long>();
    auto list = text_edits_of(edits);
    if (!list) return std::unexpected(list.error());
    edits_ += list->size();
    if (edits_ > WorkspaceEdit::kMaxEdits) return too_many();
    for (const auto& each : edits) note(each);
    file.edits = std::move(*list);
    out_.operations.emplace_back(std::move(file));
    return {};
  }

  // Each annotation once.
  void note(const json& annotated) {
    constexpr std::size_t kMostNotes = 20, kLongest = 200;
    const json id = annotated.value("annotationId", json());
    if (!id.is_string() || !annotations_.is_object()) return;
    const json annotation = annotations_.value(id.get<std::string>(), json());
    if (!annotation.is_object() || annotation.value("needsConfirmation", json()) != true) return;
    annotations_.erase(id.get<std::string>());
    std::string text = "the server asks to confirm";
    for (const char* member : {"label", "description"}) {
      if (const json words = annotation.value(member, json()); words.is_string())
        text += ": " + words.get<std::string>().substr(0, kLongest);
    }
    if (out_.notes.size() < kMostNotes) out_.notes.push_back(std::move(text));
  }

  WorkspaceEdit out_;
  json annotations_;
  std::size_t edits_ = 0;
};

}  // namespace

Result<WorkspaceEdit> workspace_edit_of(const json& edit) { return Reader().read(edit); }

}  // namespace gantry::lsp
