// SPDX-License-Identifier: Apache-2.0
//
// A plugin that is built several times: BUILD tells them apart, MODE is how they follow each other. One that hands over
// owns a lock that two cannot hold. It is no part of the product.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <gantry/plugin.hpp>

namespace {

using namespace gantry;

#ifdef UNIQUE
// As g++ makes of an inline variable: the loader binds it once in a process. clang makes none.
asm(".globl swap_only_one\n.type swap_only_one, @gnu_unique_object\n.pushsection .data\nswap_only_one: .quad 0\n"
    ".size swap_only_one, 8\n.popsection");
#endif

class Swap {
 public:
  explicit Swap(Host host) : host_(std::move(host)) {}
  ~Swap() {
    if (fd_ >= 0) ::close(fd_);
  }
  Swap(const Swap&) = delete;

  Result<void> start(const PluginConfig& config) {
    if (config.handed_over) count_ = std::stoi(config.handed_over->substr(2));
#ifdef REFUSES
    return fail(ErrorKind::unavailable, "this build refuses to start in " + config.state_dir);
#endif
    if (std::string_view(MODE) != "handover") return {};
    fd_ = ::open((config.state_dir + "/only_one").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd_ < 0 || ::flock(fd_, LOCK_EX | LOCK_NB) != 0) return fail(ErrorKind::unavailable, "another one runs");
    return {};
  }
  // Bytes that are no text come first.
  void stop(const Stopping& stopping) {
    const auto given = stopping.give(std::string("\0\xff", 2) + std::to_string(count_));
    host_.log(Level::info, given ? "has given its count" : "keeps its count: " + given.error().message);
  }
  Result<json> build(Call&) { return json{{"build", BUILD}}; }
  Result<json> count(Call&) { return json{{"count", ++count_}}; }
  void hold(Call call) { held_.push_back(std::make_shared<Call>(std::move(call))); }

  static void define(Definition<Swap>& d) {
    d.id("swap").version(std::to_string(BUILD) + ".0.0").service("swap").reload(MODE);
    d.method("swap.build", &Swap::build).method("swap.count", &Swap::count);
    d.method("swap.hold", &Swap::hold);
    if (BUILD == 2) d.method("swap.more", &Swap::build);
  }

 private:
  Host host_;
  int fd_ = -1;
  int count_ = 0;
  std::vector<std::shared_ptr<Call>> held_;
};

}  // namespace

GANTRY_PLUGIN(Swap)
