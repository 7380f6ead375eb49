// SPDX-License-Identifier: Apache-2.0
//
// tests/unit/ai/support.hpp: the ai plugin with one provider at a fault server.
#pragma once

#include <filesystem>
#include <fstream>
#include <gantry/testing.hpp>
#include <string>
#include <vector>

#include "tests/folders.hpp"
#include "tests/unit/ai/fault_server.hpp"

namespace ai_test {

inline const std::string kPlugin = gantry::folders::build() + "/plugins/ai.so";

/// A configuration whose default is model "m" of provider "local" at `url`.
inline gantry::json config(const std::string& url, gantry::json async = gantry::json::object(), int retries = 2) {
  return {{"name", "ai"},
          {"async", std::move(async)},
          {"settings",
           {{"default_model", "m"},
            {"providers", {{"local", {{"kind", "openai"}, {"base_url", url}, {"max_retries", retries}}}}},
            {"models", {{"m", {{"provider", "local"}, {"model", "upstream-name"}}}}}}}};
}

/// Adds model "n" of a provider at `url` as the fallback.
inline gantry::json with_fallback(gantry::json one, const std::string& url) {
  auto& settings = one["settings"];
  settings["providers"]["other"] = {{"kind", "openai"}, {"base_url", url}};
  settings["models"]["n"] = {{"provider", "other"}};
  settings["models"]["m"]["fallback"] = {"n"};
  return one;
}

inline gantry::json hello() { return {{"messages", {{{"role", "user"}, {"content", "hello"}}}}}; }

/// Waits until a request pauses before its next attempt: then it has two timers, its watch and its
/// pause.
inline void wait_pause(gantry::testing::TestHost& host) {
  host.wait("the pause before the next attempt", [&] { return host.pending_timers() == 2; });
}

inline gantry::json data_of(const gantry::Error& error) {
  return error.data.empty() ? gantry::json::object() : gantry::json::parse(error.data);
}

struct Streamed {
  std::vector<gantry::json> items;
  gantry::Result<gantry::json> result;
};

inline Streamed drain(gantry::testing::TestStream stream) {
  std::vector<gantry::json> items;
  while (auto item = stream.next()) items.push_back(std::move(*item));
  return Streamed{std::move(items), stream.result()};
}

/// A temporary folder.
class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "gantry-ai-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = std::filesystem::canonical(pattern);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << text;
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::string name() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace ai_test
