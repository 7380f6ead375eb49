// SPDX-License-Identifier: Apache-2.0
//
// A plugin that ends its process on request, and says when it is started and stopped. It is no part of the product. It
// is built under several names; MORE adds to its definition.
#include <signal.h>
#include <unistd.h>

#include <cstdio>

#include <filesystem>
#include <fstream>
#include <gantry/params.hpp>
#include <gantry/plugin.hpp>

#include "tests/waiting.hpp"

#ifndef MORE
#define MORE
#endif

namespace {

using namespace gantry;

class Mortal {
 public:
  explicit Mortal(Host host) : host_(std::move(host)) {}

  Result<void> start(const PluginConfig& config) {
    diary_ = config.settings.value("diary", "");
    write("starts");
    const std::string until = config.settings.value("start_file", "");  // it starts when that is there
    if (!until.empty()) (void)test::polled([&] { return std::filesystem::exists(until); }, std::chrono::hours(1));
    perish(config.settings.value("in_start", json::object()));
    if (config.settings.value("refuse", false)) return fail(ErrorKind::unavailable, "told to refuse");
    return {};
  }
  ~Mortal() { write("stops"); }

  Result<json> pid(Call&) { return json{{"pid", ::getpid()}}; }
  Result<json> dies(Call& call) {
    host_.log(Level::info, "its last words");
    perish(call.params());
    return json{{"pid", ::getpid()}};
  }
  void never(Call call) { held_.push_back(std::make_shared<Call>(std::move(call))); }
  Result<json> events(Call&) { return json(events_); }
  void event(std::string_view topic, const json&) { events_.emplace_back(topic); }

  static void define(Definition<Mortal>& d) {
    MethodOptions idempotent;
    idempotent.idempotent = true;
    d.id(NAME).version("1.0.0").grant("write:/").service(NAME).settings(NAME).subscribes("to_" NAME ".**");
    d.method(NAME ".pid", &Mortal::pid).method(NAME ".events", &Mortal::events).method(NAME ".never", &Mortal::never);
    d.method(NAME ".dies", &Mortal::dies, idempotent).method(NAME ".dies_once", &Mortal::dies);
    MORE;
  }

 private:
  // {file, times, signal, says}: the first `times` times, counted in the file. Without a signal it exits with 7. What
  // it says goes to stderr as it is.
  static void perish(const json& how) {
    const std::string file = how.value("file", "");
    if (file.empty()) return;
    std::ofstream(file, std::ios::app) << 'x' << std::flush;
    if (std::filesystem::file_size(file) > how.value("times", 1U)) return;
    (void)::dprintf(STDERR_FILENO, "%s\n", how.value("says", "").c_str());
    if (const int signal = how.value("signal", 0); signal != 0) {
      if (signal == SIGSEGV) (void)::signal(signal, SIG_DFL);  // a sanitizer has its own
      (void)::raise(signal);
    }
    ::_exit(7);
  }
  void write(const char* what) const {
    if (!diary_.empty()) std::ofstream(diary_, std::ios::app) << NAME << " " << what << "\n";
  }

  Host host_;
  std::string diary_;
  std::vector<std::shared_ptr<Call>> held_;
  std::vector<std::string> events_;
};

}  // namespace

GANTRY_PLUGIN(Mortal)
