// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/layouts.hpp"

#include <algorithm>
#include <array>
#include <set>

#include "plugins/project_state/fields.hpp"

namespace gantry::state {

namespace {

constexpr std::size_t kMaxNodes = 1000;

[[nodiscard]] json empty_layout() { return {{"root", nullptr}, {"nodes", json::object()}}; }

[[nodiscard]] Result<void> check_member(const std::string& where, const std::string& member, const json& value) {
  if (member == "kind" || member == "parent" || member == "pane_id") return check_text(where + member, value);
  if (member != "order" && member != "size") {
    return unknown_member("node of a layout", member, {"kind", "parent", "order", "size", "pane_id"});
  }
  if (value.is_number()) return {};
  return refuse(where + member + " must be a number");
}

/// A node without a parent; empty: a circle.
[[nodiscard]] std::optional<std::string> top_of(const json& nodes, std::string id) {
  for (std::size_t steps = 0; steps <= nodes.size(); ++steps) {
    const auto& node = nodes.at(id);
    const auto parent = node.find("parent");
    if (parent == node.end()) return id;
    id = parent->get<std::string>();
  }
  return std::nullopt;
}

[[nodiscard]] Result<void> check_pane(Database& db, const std::string& session, const std::string& where,
                                      const std::string& id) {
  const auto pane = find_object(db, Type::pane, id);
  if (!pane) return std::unexpected(pane.error());
  if (pane->body && pane->parent == session) return {};
  return refuse(where + "pane_id \"" + id.substr(0, 64) + "\" is no pane of this session");
}

[[nodiscard]] Result<json> shown(const Object& object) {
  if (object.body) return show_object(object);
  json layout = empty_layout();
  layout["session_id"] = object.id;
  layout["rev"] = object.rev;
  return layout;
}

[[nodiscard]] Result<json> write_layout(Transaction& tx, Object& object, const json& layout) {
  std::string body = dump_json(layout);
  if (auto ok = check_body("layout", body); !ok) return std::unexpected(ok.error());
  json told = layout;
  told["session_id"] = object.id;
  told["rev"] = object.rev + 1;
  json event{{"session_id", object.id}, {"layout", told}};
  if (auto ok = tx.write(object, {std::move(body), std::nullopt, "state.layout.changed", std::move(event)}); !ok)
    return std::unexpected(ok.error());
  return told;
}

/// The layout of a session that exists.
[[nodiscard]] Result<Object> layout_of(Database& db, const std::string& session) {
  if (const auto owner = live_object(db, Type::session, session); !owner) return std::unexpected(owner.error());
  auto layout = find_object(db, Type::layout, session);
  if (layout) layout->parent = session;
  return layout;
}

}  // namespace

Result<void> check_layout_patch(const json& patch) {
  for (const auto& [member, value] : patch.items()) {
    if (member == "root") {
      if (value.is_null()) continue;
      if (auto ok = check_text("root", value); !ok) return ok;
    } else if (member == "nodes") {
      if (!value.is_object()) return refuse("nodes must be an object");
      for (const auto& [id, node] : value.items()) {
        if (auto ok = check_text("the id of a node", json(id)); !ok) return ok;
        if (node.is_null()) continue;
        const std::string where = "nodes." + id.substr(0, 64) + ".";
        if (!node.is_object()) return refuse("nodes." + id.substr(0, 64) + " must be an object");
        for (const auto& [name, inner] : node.items()) {
          if (inner.is_null()) continue;
          if (auto ok = check_member(where, name, inner); !ok) return ok;
        }
      }
    } else {
      return unknown_member("layout", member, {"root", "nodes"});
    }
  }
  return {};
}

Result<void> check_layout(Database& db, const std::string& session, const json& layout) {
  const auto& nodes = layout["nodes"];
  if (nodes.size() > kMaxNodes) return too_large("a layout may have 1000 nodes, not " + std::to_string(nodes.size()));
  for (const auto& [id, node] : nodes.items()) {
    const std::string where = "nodes." + id.substr(0, 64) + ".";
    for (const char* needed : {"kind", "order"}) {
      if (!node.contains(needed)) return refuse(where + needed + " is missing");
    }
    const auto parent = node.find("parent");
    if (parent != node.end() && !nodes.contains(parent->get_ref<const std::string&>()))
      return refuse(where + "parent \"" + parent->get<std::string>().substr(0, 64) + "\" is no node");
  }
  std::set<std::string> shown;
  for (const auto& [id, node] : nodes.items()) {
    const std::string where = "nodes." + id.substr(0, 64) + ".";
    if (!top_of(nodes, id)) return refuse(where + "parent leads in a circle");
    const auto pane = node.find("pane_id");
    if (pane == node.end()) continue;
    if (!shown.insert(pane->get<std::string>()).second)
      return refuse(where + "pane_id \"" + pane->get<std::string>().substr(0, 64) + "\" is shown by another node too");
    if (auto ok = check_pane(db, session, where, pane->get<std::string>()); !ok) return ok;
  }
  const auto& root = layout["root"];
  if (root.is_null()) return {};
  const auto& id = root.get_ref<const std::string&>();
  if (!nodes.contains(id)) return refuse("root \"" + id.substr(0, 64) + "\" is no node");
  return nodes[id].contains("parent") ? refuse("root \"" + id.substr(0, 64) + "\" has a parent") : Result<void>();
}

Result<json> get_layout(Database& db, const std::string& session) {
  const auto object = layout_of(db, session);
  if (!object) return std::unexpected(object.error());
  return shown(*object);
}

Result<json> update_layout(Transaction& tx, const std::string& session, std::optional<std::uint64_t> rev,
                           const json& patch) {
  auto object = layout_of(tx.db, session);
  if (!object) return std::unexpected(object.error());
  if (auto ok = compare_rev(*object, rev); !ok) return std::unexpected(ok.error());
  auto layout = object->body ? parse_json(*object->body) : Result<json>(empty_layout());
  if (!layout) return show_object(*object);
  layout->merge_patch(patch);
  if (!layout->contains("root")) (*layout)["root"] = nullptr;
  if (auto ok = check_layout(tx.db, session, *layout); !ok) return std::unexpected(ok.error());
  auto written = write_layout(tx, *object, *layout);
  if (!written) return written;
  return json{{"layout", std::move(*written)}};
}

Result<void> drop_from_layout(Transaction& tx, const std::string& session, const std::string& pane) {
  auto object = find_object(tx.db, Type::layout, session);
  if (!object) return std::unexpected(object.error());
  if (!object->body) return {};
  auto layout = parse_json(*object->body);
  if (!layout) return std::unexpected(show_object(*object).error());
  auto& nodes = (*layout)["nodes"];
  const auto shows = [&](const json& node) { return node.contains("pane_id") && node["pane_id"] == pane; };
  std::string gone;
  for (const auto& [id, node] : nodes.items()) {
    if (shows(node)) gone = id;
  }
  if (gone.empty()) return {};
  const json parent = nodes[gone].value("parent", json());
  nodes.erase(gone);
  for (auto& node : nodes) {
    if (node.value("parent", json()) != json(gone)) continue;
    node.erase("parent");
    if (!parent.is_null()) node["parent"] = parent;
  }
  if ((*layout)["root"] == json(gone)) (*layout)["root"] = nullptr;
  if (auto ok = write_layout(tx, *object, *layout); !ok) return std::unexpected(ok.error());
  return {};
}

}  // namespace gantry::state
