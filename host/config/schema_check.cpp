// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <gantry/detail/field_reader.hpp>
#include <gantry/params.hpp>
#include <host/config/schema_check.hpp>
#include <host/config/toml.hpp>
#include <host/observe/printable.hpp>

namespace gantry::host {
namespace {

std::string ticked(std::string_view text) { return "`" + printable(text, 200) + "`"; }

/// A member of a schema, or null.
const json& part(const json& schema, const char* name) {
  static const json kNone;
  const auto it = schema.find(name);
  return it == schema.end() ? kNone : *it;
}

std::string counted(const json& schema, const char* min, const char* max, const char* unit) {
  detail::Limits limits;
  if (part(schema, min).is_number_unsigned()) limits.min_length = part(schema, min).get<std::size_t>();
  if (part(schema, max).is_number_unsigned()) limits.max_length = part(schema, max).get<std::size_t>();
  return detail::length_text(limits, unit);
}

std::string number_text(const json& schema, const std::string& what) {
  const json& min = part(schema, "minimum");
  const json& max = part(schema, "maximum");
  if (min.is_number() && max.is_number()) return what + " from " + min.dump() + " to " + max.dump();
  if (min.is_number()) return what + " of at least " + min.dump();
  return max.is_number() ? what + " of at most " + max.dump() : what;
}

std::string type_text(const json& schema, const std::string& type) {
  if (type == "boolean") return "true or false";
  if (type == "integer") return number_text(schema, "an integer");
  if (type == "number") return number_text(schema, "a number");
  if (type == "string") return "a string" + counted(schema, "minLength", "maxLength", "characters");
  if (type == "array") return "an array" + counted(schema, "minItems", "maxItems", "elements");
  if (type == "object") return "an object" + counted(schema, "minProperties", "maxProperties", "members");
  return type;
}

bool is_of_type(const json& value, const std::string& type) {
  if (type == "boolean") return value.is_boolean();
  if (type == "integer") return is_integer(value);
  if (type == "number") return value.is_number();
  if (type == "string") return value.is_string();
  if (type == "array") return value.is_array();
  if (type == "object") return value.is_object();
  if (type == "null") return value.is_null();
  return true;
}

/// The types that a schema allows; none: all.
std::vector<std::string> types_of(const json& schema) {
  const json& type = part(schema, "type");
  std::vector<std::string> out;
  if (type.is_string()) out.push_back(type.get<std::string>());
  if (type.is_array()) {
    for (const auto& one : type) {
      if (one.is_string()) out.push_back(one.get<std::string>());
    }
  }
  return out;
}

bool fits(const json& value, const json& schema) {
  const auto between = [&](const json& measure, const char* min, const char* max) {
    return !(part(schema, min).is_number() && measure < part(schema, min)) &&
           !(part(schema, max).is_number() && measure > part(schema, max));
  };
  const auto types = types_of(schema);
  if (!types.empty() &&
      std::none_of(types.begin(), types.end(), [&](const std::string& type) { return is_of_type(value, type); }))
    return false;
  if (value.is_number()) return between(value, "minimum", "maximum");
  if (value.is_string())
    return between(detail::characters(value.get_ref<const std::string&>()), "minLength", "maxLength");
  if (value.is_array()) return between(value.size(), "minItems", "maxItems");
  if (value.is_object()) return between(value.size(), "minProperties", "maxProperties");
  return true;
}

class SchemaCheck {
 public:
  SchemaCheck(const Config& config, Diagnostics& diagnostics) : config_(config), diagnostics_(diagnostics) {}

  void check(const std::string& key, const json& value, const json& schema) {
    if (!schema.is_object()) return;
    if (part(schema, "oneOf").is_array()) return check_one_of(key, value, schema["oneOf"]);
    if (schema.contains("const") || part(schema, "enum").is_array()) return check_choice(key, value, schema);
    if (!fits(value, schema)) {
      add(key, key, ticked(key) + " must be " + schema_text(schema) + ", not " + detail::shown_value(value));
    } else if (value.is_object()) {
      check_object(key, value, schema);
    } else if (value.is_array()) {
      for (std::size_t i = 0; i < value.size(); ++i)
        check(key + "[" + std::to_string(i) + "]", value[i], part(schema, "items"));
    }
  }

 private:
  void check_choice(const std::string& key, const json& value, const json& schema) {
    const json choices = schema.contains("const") ? json::array({schema["const"]}) : schema["enum"];
    if (std::find(choices.begin(), choices.end(), value) != choices.end()) return;
    std::vector<std::string> names;
    for (const auto& choice : choices) {
      if (choice.is_string()) names.push_back(choice.get<std::string>());
    }
    add(key, key,
        ticked(key) + " must be " + schema_text(schema) + ", not " + detail::shown_value(value) +
            (value.is_string() ? did_you_mean(value.get_ref<const std::string&>(), names) : ""));
  }

  void check_object(const std::string& key, const json& value, const json& schema) {
    static const json kNothing = json::object();
    const json& properties = part(schema, "properties").is_object() ? schema["properties"] : kNothing;
    const json& more = part(schema, "additionalProperties");
    std::vector<std::string> names;
    for (const auto& [name, unused] : properties.items()) names.push_back(name);
    for (const auto& [name, member] : value.items()) {
      const std::string at = key + "." + toml_key(name);
      if (properties.contains(name)) {
        check(at, member, properties[name]);
      } else if (more == json(false)) {
        add(at, at,
            "unknown key " + ticked(toml_key(name)) + " in [" + printable(key, 200) + "]" +
                did_you_mean(name, names, "`"));
      } else {
        check(at, member, more);
      }
    }
    const json& required = part(schema, "required");
    if (!required.is_array()) return;
    for (const auto& name : required) {
      if (!name.is_string() || value.contains(name.get_ref<const std::string&>())) continue;
      const auto& missing = name.get_ref<const std::string&>();
      add(key, key,
          "[" + printable(key, 200) + "] needs `" + missing + "`: " + schema_text(part(properties, missing.c_str())));
    }
  }

  // The alternative whose constant member the value has; the constants, when it has none of them.
  void check_one_of(const std::string& key, const json& value, const json& alternatives) {
    if (!value.is_object()) return add(key, key, ticked(key) + " must be an object, not " + detail::shown_value(value));
    std::string tag;
    json choices = json::array();
    for (const auto& alternative : alternatives) {
      for (const auto& [name, property] : part(alternative, "properties").items()) {
        if (!property.is_object() || !property.contains("const")) continue;
        tag = name;
        choices.push_back(property["const"]);
        if (value.contains(name) && value[name] == property["const"]) return check(key, value, alternative);
      }
    }
    if (tag.empty()) return;
    if (value.contains(tag)) {
      check_choice(key + "." + toml_key(tag), value[tag], {{"enum", choices}});
    } else {
      add(key, key, "[" + printable(key, 200) + "] needs `" + tag + "`: " + schema_text({{"enum", choices}}));
    }
  }

  /// At the place of `at`, or of what it stands in.
  void add(const std::string& key, std::string at, const std::string& message) {
    auto place = config_.places.find(at);
    while (place == config_.places.end() && at.find('.') != std::string::npos) {
      at.erase(at.rfind('.'));
      place = config_.places.find(at);
    }
    diagnostics_.add(place == config_.places.end() ? Place{} : place->second, key, printable(message, 800));
  }

  const Config& config_;
  Diagnostics& diagnostics_;
};

}  // namespace

std::string schema_text(const json& schema) {
  if (!schema.is_object()) return "a value";
  if (schema.contains("const")) return detail::shown_value(schema["const"]);
  if (const json& choices = part(schema, "enum"); choices.is_array()) {
    std::string out;
    for (const auto& choice : choices) out += (out.empty() ? "" : ", ") + detail::shown_value(choice);
    return "one of " + out;
  }
  std::string out;
  for (const auto& type : types_of(schema)) out += (out.empty() ? "" : " or ") + type_text(schema, type);
  if (out.empty() && schema.contains("oneOf")) return "an object";
  return out.empty() ? "a value" : out;
}

void check_schema(const Config& config, const std::string& key, const json& value, const json& schema,
                  Diagnostics& diagnostics) {
  SchemaCheck(config, diagnostics).check(key, value, schema);
}

}  // namespace gantry::host
