// SPDX-License-Identifier: Apache-2.0
//
// `gantry plugin new`: copies the template, with the plugin's name in the place of the template's.
#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string_view>
#include <utility>

#include "host/cli/commands.hpp"
#include "host/cli/paths.hpp"
#include "host/plugins/library/manifest.hpp"

namespace gantry::host {

namespace fs = std::filesystem;

namespace {

// Targets that every build has, and what the host answers itself.
constexpr std::array kTaken{"all",     "clean",  "config",  "edit_cache",    "events", "help", "host", "install",
                            "package", "plugin", "process", "rebuild_cache", "rpc",    "task", "test"};

[[nodiscard]] Result<void> check_name(const std::string& name) {
  if (auto ok = check_plugin_id(name); !ok)
    return fail(ErrorKind::invalid_params, "\"" + name + "\" cannot be a plugin: " + ok.error().message);
  std::error_code failed;
  if (std::find(kTaken.begin(), kTaken.end(), name) != kTaken.end() ||
      fs::exists(plugin_dir() / (name + ".so"), failed))
    return fail(ErrorKind::conflict, "the name " + name + " is taken by the host or its build; take another");
  return {};
}

/// word_count and word-count make WordCount.
[[nodiscard]] std::string class_name(const std::string& name) {
  std::string out;
  bool first = true;
  for (const char c : name) {
    if (c != '_' && c != '-') out += first ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    first = c == '_' || c == '-';
  }
  return out.empty() || std::isdigit(static_cast<unsigned char>(out.front())) != 0 ? "The" + out : out;
}

using Names = std::array<std::pair<std::string, std::string>, 3>;

/// What stands first in `names` counts.
[[nodiscard]] std::string renamed(std::string_view text, const Names& names) {
  std::string out;
  while (!text.empty()) {
    const auto name =
        std::find_if(names.begin(), names.end(), [&](const auto& n) { return text.starts_with(n.first); });
    if (name == names.end()) {
      out += text.front();
      text.remove_prefix(1);
    } else {
      out += name->second;
      text.remove_prefix(name->first.size());
    }
  }
  return out;
}

[[nodiscard]] Result<void> copy_tree(const fs::path& from, const fs::path& to, const Names& names) {
  const auto failed = [](const fs::path& file) {
    return fail(ErrorKind::storage_failed, file.string() + " cannot be written");
  };
  std::error_code wrong;
  for (auto it = fs::recursive_directory_iterator(from, wrong); !wrong && it != fs::recursive_directory_iterator();
       it.increment(wrong)) {
    const auto target = to / renamed(fs::relative(it->path(), from).string(), names);
    if (it->is_directory()) continue;
    if (fs::create_directories(target.parent_path(), wrong); wrong) return failed(target.parent_path());
    std::ifstream in(it->path(), std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    std::ofstream out(target, std::ios::binary);
    out << renamed(text, names);
    if (!out.flush()) return failed(target);
  }
  if (wrong) return fail(ErrorKind::storage_failed, from.string() + " cannot be read: " + wrong.message());
  return {};
}

[[nodiscard]] Result<void> write_project(const PluginNewArgs& args, const fs::path& folder) {
  std::error_code failed;
  if (fs::exists(folder, failed) && !(fs::is_directory(folder, failed) && fs::is_empty(folder, failed)))
    return fail(ErrorKind::conflict, folder.string() + " is no empty folder; name another one by --dir");
  const auto source = template_dir();
  if (!fs::is_directory(source / args.language, failed)) {
    return fail(ErrorKind::not_found,
                "the template is missing in " + source.string() + "; install it by ./dev install PREFIX");
  }
  const Names names{{{"plugin_name.cpp", args.name + (args.language == "c" ? ".c" : ".cpp")},
                     {"plugin_name", args.name},
                     {"PluginName", class_name(args.name)}}};
  for (const char* part : {"common", args.language.c_str()}) {
    if (auto ok = copy_tree(source / part, folder, names); !ok) return ok;
  }
  return {};
}

}  // namespace

int plugin_new(const PluginNewArgs& args) {
  if (const auto ok = check_name(args.name); !ok) return complain(ok.error());
  const auto folder = fs::absolute(args.folder.empty() ? args.name : args.folder).lexically_normal();
  if (auto written = write_project(args, folder); !written) return complain(written.error());
  const auto prefix = program_path().parent_path().parent_path();
  std::error_code failed;
  const bool installed = fs::exists(prefix / "lib" / "cmake" / "gantry-sdk", failed);
  std::printf("%s is a plugin's project. Next:\n\n  cd %s\n", folder.c_str(), folder.c_str());
  std::printf("  export PATH=%s/bin:$PATH%s\n", installed ? prefix.c_str() : "PREFIX",
              installed ? "" : "     # after ./dev install PREFIX");
  std::printf(
      "  cmake --workflow --preset clang     # or gcc: configures, builds and tests it\n\n"
      "README.md says how to load it, call it and change it while it runs.\n");
  return 0;
}

}  // namespace gantry::host
