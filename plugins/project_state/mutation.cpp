// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/mutation.hpp"

#include <array>
#include <cstdio>

namespace gantry::state {

namespace {

constexpr std::size_t kMaxId = 128;

/// FNV-1a and the length: tells bodies apart that differ by mistake; nobody gains by forging one.
[[nodiscard]] std::string digest(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  std::array<char, 48> out{};
  std::snprintf(out.data(), out.size(), "%016llx-%zu", static_cast<unsigned long long>(hash), text.size());
  return out.data();
}

[[nodiscard]] std::string body_digest(const Call& call, json params, std::string_view place) {
  params.erase("mutation");
  params.erase("_meta");
  return digest(call.method() + "\n" + std::string(place) + "\n" + dump_json(params));
}

[[nodiscard]] std::string key_of(const Call& call, const json& params) {
  if (!call.idempotency_key().empty()) return call.idempotency_key();
  const auto meta = params.find("_meta");
  if (meta == params.end() || !meta->is_object()) return {};
  const auto key = meta->find("idempotency_key");
  return key != meta->end() && key->is_string() ? key->get<std::string>() : std::string();
}

[[nodiscard]] std::unexpected<Error> refuse(std::string why) { return fail(ErrorKind::invalid_params, std::move(why)); }

}  // namespace

Result<std::optional<Mutation>> read_mutation(const Call& call, Params& params, std::string_view place) {
  const auto given = params.maybe_object("mutation");
  if (!given && call.idempotency_key().empty() && call.raw_params().find("_meta") == std::string_view::npos &&
      call.raw_params().find('\\') == std::string_view::npos)
    return std::nullopt;  // most
  const json whole = call.params();
  const std::string key = key_of(call, whole);
  if (given && !key.empty()) {
    return refuse("give either `mutation` or an idempotency key, not both; changes of state use `mutation`");
  }
  if (!key.empty()) {
    if (key.size() > kMaxId) return refuse("an idempotency key has at most 128 bytes");
    const json id = key;
    // No client may be called "": the keys have a space of their own.
    return Mutation{"", dump_json(id), body_digest(call, whole, place), json{{"idempotency_key", key}}};
  }
  if (!given) return std::nullopt;

  Params members(*given);
  const std::string client = members.string("client_id");
  const json id = members.value("mutation_id");
  if (auto ok = members.done(); !ok) return refuse("mutation: " + ok.error().message);
  if (client.empty() || client.size() > kMaxId) return refuse("mutation: client_id must have 1 to 128 bytes");
  const bool named =
      id.is_string() && !id.get_ref<const std::string&>().empty() && id.get_ref<const std::string&>().size() <= kMaxId;
  if (!named && !id.is_number_unsigned()) {
    return refuse("mutation: mutation_id must be a number from 0 on or a string of 1 to 128 bytes");
  }
  return Mutation{client, dump_json(id), body_digest(call, whole, place),
                  json{{"client_id", client}, {"mutation_id", id}}};
}

}  // namespace gantry::state
