// SPDX-License-Identifier: Apache-2.0
//
// A plugin that does to its process what the plugins of other hosts were reported to do: it changes what is done about
// signals and the locale, forks, and leaves work for the process's end. It is no part of the product.
#include <dlfcn.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <gantry/plugin.hpp>
#include <locale>

namespace {

using namespace gantry;

/// What a library leaves for the end of its process.
std::string at_the_end;  // NOLINT: on purpose
struct AtTheEnd {
  ~AtTheEnd() {
    if (at_the_end == "static crashes") ::abort();
  }
} const at_the_end_of_the_library;  // NOLINT: on purpose

struct Comma final : std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};

class Meddler {
 public:
  explicit Meddler(Host host) : host_(std::move(host)) {}
  Result<void> start(const PluginConfig& config) {
    library_ = config.library;
    if (config.settings.value("segfault", false)) (void)::raise(SIGABRT);
    return {};
  }

  Result<json> signals(Call&) {
    (void)::signal(SIGPIPE, SIG_DFL);  // NOLINT: what it is about
    (void)::signal(SIGCHLD, SIG_IGN);  // NOLINT
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) (void)::signal(signal, SIG_IGN);
    return json::object();
  }
  // The child lives until somebody writes into `fifo`.
  Result<json> forks(Call& call) {
    const std::string fifo = call.params().value("fifo", "");
    const pid_t pid = ::fork();
    if (pid != 0) return json{{"pid", pid}};
    const int fd = ::open(fifo.c_str(), O_RDONLY);
    char byte = 0;
    (void)!::read(fd, &byte, 1);
    ::_exit(0);
  }
  Result<json> leaves(Call& call) {
    at_the_end = call.params().value("what", "");
    if (at_the_end == "atexit crashes") (void)std::atexit([] { ::abort(); });
    if (at_the_end == "atexit hangs") {
      (void)std::atexit([] {
        while (true) (void)::pause();
      });
    }
    return json::object();
  }
  Result<json> locale(Call& call) {
    const std::string name = call.params().value("name", "");
    const char* const got = ::setlocale(LC_ALL, name.c_str());
    std::locale::global(std::locale(std::locale::classic(), new Comma));
    return json{{"name", got == nullptr ? "" : got}, {"decimal_point", ::localeconv()->decimal_point}};
  }
  Result<json> big(Call& call) { return json(std::string(call.params().value("bytes", std::size_t{0}), 'x')); }
  Result<json> pid(Call&) { return json{{"pid", ::getpid()}}; }
  Result<json> where(Call&) {
    Dl_info info{};
    (void)::dladdr(&at_the_end, &info);
    return json{{"library", library_}, {"loaded", info.dli_fname == nullptr ? "" : info.dli_fname}};
  }

  static void define(Definition<Meddler>& d) {
    d.id("meddler").version("1.0.0").service("meddler").settings("meddler");
    d.method("meddler.signals", &Meddler::signals).method("meddler.forks", &Meddler::forks);
    d.method("meddler.leaves", &Meddler::leaves).method("meddler.locale", &Meddler::locale);
    d.method("meddler.big", &Meddler::big).method("meddler.pid", &Meddler::pid);
    d.method("meddler.where", &Meddler::where);
  }

 private:
  Host host_;
  std::string library_;
};

}  // namespace

GANTRY_PLUGIN(Meddler)
