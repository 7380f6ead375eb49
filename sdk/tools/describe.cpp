// SPDX-License-Identifier: Apache-2.0
//
// gantry-describe PLUGIN.so OUT.json: writes a plugin's manifest. Run by the build, in a process of its own, so that
// nobody has to execute a plugin to learn what it is.
#include <dlfcn.h>
#include <gantry/abi.h>

#include <cstdio>
#include <filesystem>
#include <string>

namespace {
void keep(void* ctx, gantry_bytes manifest) {
  static_cast<std::string*>(ctx)->assign(manifest.data == nullptr ? "" : manifest.data, manifest.size);
}

int refuse(const char* file, const char* why) {
  std::fprintf(stderr, "gantry-describe: %s: %s\n", file, why);
  return 1;
}
}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: gantry-describe PLUGIN.so OUT.json\n");
    return 2;
  }
  // A name without a slash would be looked for in the system's folders.
  void* library = dlopen(std::filesystem::absolute(argv[1]).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return refuse(argv[1], dlerror());
  const auto* entry = static_cast<const gantry_entry_t*>(dlsym(library, GANTRY_ENTRY_SYMBOL));
  if (entry == nullptr) return refuse(argv[1], "it does not export gantry_entry");
  if (entry->magic != GANTRY_MAGIC) return refuse(argv[1], "gantry_entry has another magic number");
  if (entry->major != GANTRY_ABI_MAJOR) return refuse(argv[1], "it is built for another ABI major version");
  std::string manifest;
  entry->describe(&manifest, &keep);
  if (manifest.empty()) return refuse(argv[1], "describe gave no manifest");
  std::FILE* out = std::fopen(argv[2], "w");
  if (out == nullptr) return refuse(argv[2], "cannot be written");
  const bool written = std::fwrite(manifest.data(), 1, manifest.size(), out) == manifest.size();
  if (std::fclose(out) != 0 || !written) return refuse(argv[2], "cannot be written");
  return 0;
}
