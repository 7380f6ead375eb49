// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "plugins/lsp/capabilities/cut.hpp"
#include "plugins/lsp/capabilities/member_at.hpp"
#include "plugins/lsp/capabilities/plain_text.hpp"

namespace gantry::lsp {

void cut_diagnostic(json& diagnostic, const Understood::Diagnostics& understood) {
  if (!diagnostic.is_object()) return;
  if (!understood.related) diagnostic.erase("relatedInformation");
  if (!understood.tags) diagnostic.erase("tags");
  if (!understood.code_description) diagnostic.erase("codeDescription");
  if (!understood.data) diagnostic.erase("data");
  const auto message = diagnostic.find("message");
  if (understood.markup || message == diagnostic.end() || !message->is_object()) return;
  const json value = message->value("value", json(""));
  const std::string text = value.is_string() ? value.get<std::string>() : std::string();
  *message = part(*message, "kind") == "markdown" ? plain_text(text) : text;
}

void restore_diagnostics(json& context, const json& published, const Understood& understood) {
  const auto shown = context.is_object() ? context.find("diagnostics") : context.end();
  if (shown == context.end() || !shown->is_array() || !published.is_array()) return;
  json cut = published;
  for (auto& each : cut) cut_diagnostic(each, understood.published);
  for (auto& diagnostic : *shown) {
    const auto same = std::ranges::find_if(cut, [&](const json& each) {
      if (!each.is_object() || !diagnostic.is_object()) return false;
      return std::ranges::all_of(std::initializer_list<const char*>{"range", "message", "code", "source"},
                                 [&](const char* name) { return part(each, name) == part(diagnostic, name); });
    });
    if (same != cut.end()) diagnostic = published[static_cast<std::size_t>(same - cut.begin())];
  }
}

}  // namespace gantry::lsp
