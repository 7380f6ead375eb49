// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "plugins/lsp/capabilities/cut.hpp"
#include "plugins/lsp/capabilities/member_at.hpp"
#include "plugins/lsp/capabilities/snippet.hpp"

namespace gantry::lsp {

namespace {

constexpr int kSnippet = 2;     // InsertTextFormat
constexpr int kMerge = 2;       // ApplyKind
constexpr int kDeprecated = 1;  // CompletionItemTag

// What is newer than a client becomes what servers used before.
[[nodiscard]] int older_kind(int kind) {
  constexpr int kText = 1, kFunction = 3, kClass = 7, kEnum = 13, kVariable = 6, kFile = 17;
  constexpr int kFolder = 19, kEnumMember = 20, kConstant = 21, kStruct = 22, kOperator = 24, kTypeParameter = 25;
  switch (kind) {
    case kFolder:
      return kFile;
    case kEnumMember:
      return kEnum;
    case kConstant:
      return kVariable;
    case kStruct:
    case kTypeParameter:
      return kClass;
    case kOperator:
      return kFunction;
    default:
      return kText;
  }
}

void expand(json& object, const char* member) {
  const auto it = object.find(member);
  if (it != object.end() && it->is_string()) *it = plain_snippet(it->get<std::string>());
}

// The default of the list becomes the item's own.
void apply_default(json& item, const std::string& name, const json& value, bool merge) {
  if (name == "editRange") {
    if (item.contains("textEdit")) return;
    json text = part(item, "textEditText");
    if (!text.is_string()) text = item.value("label", json(""));
    json edit = value.is_object() && value.contains("insert") ? value : json{{"range", value}};
    edit["newText"] = std::move(text);
    item["textEdit"] = std::move(edit);
    item.erase("textEditText");
    return;
  }
  const auto own = item.find(name);
  if (own == item.end()) {
    item[name] = value;
  } else if (merge && name == "commitCharacters" && own->is_array() && value.is_array()) {
    for (const auto& each : value) {
      if (std::ranges::find(*own, each) == own->end()) own->push_back(each);
    }
  } else if (merge && name == "data" && own->is_object() && value.is_object()) {
    for (const auto& [key, each] : value.items()) own->emplace(key, each);
  }
}

// True: a client that knows this default understands its value.
[[nodiscard]] bool understands(const std::string& name, const json& value, const Understood& understood) {
  const auto& can = understood.completion;
  if (name == "editRange") return can.insert_replace || !value.is_object() || !value.contains("insert");
  if (name == "insertTextFormat") return can.snippets;
  if (name == "insertTextMode") return can.insert_text_mode;
  if (name == "commitCharacters") return can.commit_characters;
  return true;
}

}  // namespace

void cut_completion_item(json& item, const Understood& understood) {
  if (!item.is_object()) return;
  const auto& can = understood.completion;
  if (auto edit = item.find("textEdit"); edit != item.end() && edit->is_object() && !can.insert_replace) {
    if (edit->contains("insert"))
      *edit = json{{"range", (*edit)["insert"]}, {"newText", edit->value("newText", json(""))}};
  }
  if (!can.snippets) {
    if (part(item, "insertTextFormat") == kSnippet) {
      for (const char* const text : {"insertText", "textEditText"}) expand(item, text);
      if (const auto edit = item.find("textEdit"); edit != item.end() && edit->is_object()) expand(*edit, "newText");
    }
    item.erase("insertTextFormat");
  }
  if (!can.commit_characters) item.erase("commitCharacters");
  if (!can.preselect) item.erase("preselect");
  if (!can.insert_text_mode) item.erase("insertTextMode");
  const auto tags = item.find("tags");
  if (tags != item.end() && !can.tags) {
    const bool deprecated = tags->is_array() && std::ranges::find(*tags, json(kDeprecated)) != tags->end();
    item.erase(tags);
    if (deprecated) item["deprecated"] = true;
  }
  if (!can.deprecated) item.erase("deprecated");
  if (const auto details = item.find("labelDetails"); details != item.end() && !can.label_details) {
    if (details->is_object() && !item.contains("detail")) {
      std::string text;
      for (const char* const each : {"detail", "description"}) {
        const json value = part(*details, each);
        if (!value.is_string()) continue;
        if (!text.empty()) text += ' ';
        text += value.get<std::string>();
      }
      text.erase(0, text.find_first_not_of(' '));
      if (!text.empty()) item["detail"] = text;
    }
    item.erase("labelDetails");
  }
  if (!can.markdown) cut_markup(item, "documentation");
  if (const auto kind = item.find("kind"); kind != item.end() && kind->is_number_integer()) {
    const auto number = kind->get<long long>();
    const bool known = number >= 0 && number < static_cast<long long>(can.kinds.size()) &&
                       can.kinds.test(static_cast<std::size_t>(number));
    if (!known) *kind = older_kind(static_cast<int>(number));
  }
}

json cut_completion(json list, const Understood& understood) {
  json* items = list.is_array() ? &list : nullptr;
  if (list.is_object()) {
    if (const auto it = list.find("items"); it != list.end() && it->is_array()) items = &*it;
  }
  if (items == nullptr) return list;
  if (list.is_object()) {
    json applied = part(list, "applyKind");
    if (!applied.is_object()) applied = json::object();
    if (!understood.completion.apply_kind) list.erase("applyKind");
    items = &list["items"];
    if (const auto defaults = list.find("itemDefaults"); defaults != list.end() && defaults->is_object()) {
      json kept = json::object();
      for (const auto& [name, value] : defaults->items()) {
        const bool merge = part(applied, name) == kMerge;
        const bool keeps = understood.completion.defaults.contains(name) && understands(name, value, understood) &&
                           (!merge || understood.completion.apply_kind);
        if (keeps) {
          kept[name] = value;
          continue;
        }
        for (auto& item : *items) {
          if (item.is_object()) apply_default(item, name, value, merge);
        }
      }
      if (kept.empty()) {
        list.erase("itemDefaults");
      } else {
        list["itemDefaults"] = std::move(kept);
      }
      items = &list["items"];
    }
  }
  for (auto& item : *items) cut_completion_item(item, understood);
  return list;
}

}  // namespace gantry::lsp
