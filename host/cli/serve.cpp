// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "host/cli/commands.hpp"
#include "host/cli/inherited.hpp"
#include "host/cli/paths.hpp"
#include "host/daemon/daemon.hpp"
#include "host/observe/ready_writer.hpp"
#include "host/plugins/crash_mark.hpp"
#include "host/runtime/open_files.hpp"
#include "host/runtime/own_signals.hpp"
#include "host/services/plugin_settings.hpp"

/// A sanitizer's, where there is one: what it would look for when a process ends as others do.
extern "C" void __lsan_do_leak_check() __attribute__((weak));  // NOLINT(bugprone-reserved-identifier): its name

namespace gantry::host {

namespace {

/// Says why there is no host: on stderr, or to the client that has started it. Returns the exit code.
int give_up(const ServeArgs& args, const Error& error) {
  if (args.ready_fd < 0) return complain(error);
  const std::string text = dump_json({{"code", static_cast<int>(error.kind)}, {"message", error.message}});
  (void)!::write(args.ready_fd, text.data(), text.size());
  return 1;
}

[[nodiscard]] Result<Config> read_config(const Common& common, std::optional<std::filesystem::path>& file) {
  file = find_config_file(common.config.empty() ? std::nullopt : std::optional<std::filesystem::path>(common.config));
  if (!file) return default_config();
  file = std::filesystem::absolute(*file);
  auto config = load_checked_config(*file, plugin_dir());
  if (config) return std::move(*config);
  return fail(ErrorKind::invalid_params, "the configuration has errors:\n" + to_string(config.error()));
}

/// What the command line adds to the configuration, also after each reload.
void add_workspace(Config& config, const std::string& folder) {
  if (folder.empty()) return;
  config.host.workspaces.push_back(folder);
  config.given["host.workspaces"] = "--workspace";
}

/// For whoever sits in front of it: what is served, how, and what happens.
class Console {
 public:
  explicit Console(Daemon& daemon) : daemon_(daemon) {}

  void greet(const std::filesystem::path& socket) {
    const auto config = daemon_.config();
    std::printf("gantry %s\n\nsocket         %s\nconfiguration  %s\n\n%s\n", std::string(kVersion).c_str(),
                socket.c_str(), config->file.empty() ? "built-in defaults" : config->file.c_str(),
                show_config(*config).c_str());
    std::printf("plugins\n");
    for (const auto& plugin : daemon_.services().status()) {
      std::printf("  %-14s %-8s %s%s%s\n", plugin.name.c_str(), plugin.version.c_str(), plugin.state.c_str(),
                  plugin.reason.empty() ? "" : ": ", shown(std::string_view(plugin.reason)).c_str());
    }
    std::printf("\n");
    (void)std::fflush(stdout);
  }
  void follow() {
    auto subscribed = daemon_.bus().subscribe({"host.plugin.*", "host.workspace.*", "ai.index.progress"},
                                              [this] { daemon_.workers().first().post([this] { print_events(); }); });
    if (subscribed) events_ = subscribed->subscription;
  }

 private:
  // On the worker: it must not wait for whoever looks at this terminal.
  void print_events() {
    while (const auto next = events_->take()) {
      const auto payload = parse_json(next->event.payload);
      if (!payload) continue;
      (void)out_.write((next->event.topic == "ai.index.progress" ? progress(*payload)
                                                                 : next->event.topic + " " + dump_json(*payload)) +
                       "\n");
    }
  }
  [[nodiscard]] static std::string progress(const json& p) {
    if (p.contains("refused")) return p.value("workspace", "") + " is " + p.value("refused", "");
    return "learning " + p.value("workspace", "") + ": " + std::to_string(p.value("files", 0LL)) + " files, " +
           std::to_string(p.value("tokens", 0LL)) + " tokens" + (p.value("done", false) ? ", done" : "");
  }

  Daemon& daemon_;
  std::shared_ptr<Subscription> events_;
  ReadyWriter out_{STDOUT_FILENO};
};

void on_signals(boost::asio::signal_set& signals, Daemon& daemon) {
  signals.async_wait([&signals, &daemon](const boost::system::error_code& failed, int number) {
    if (failed) return;
    const char* const name = ::sigabbrev_np(number);
    daemon.request_stop("signal SIG" + std::string(name == nullptr ? "?" : name));
    signals.async_wait([](const boost::system::error_code& again, int) {
      if (!again) std::_Exit(1);  // asked twice: at once
    });
  });
}

// Without what libraries of plugins have left for the end of the process: a static destructor or an atexit handler may
// crash, or not return.
[[noreturn]] void end_process(int code) {
  if (!output_is_written() && code == 0) code = 1;
  (void)std::fflush(stderr);
  if (&__lsan_do_leak_check != nullptr) __lsan_do_leak_check();
  std::_Exit(code);
}

int run_host(const Common& common, const ServeArgs& args) {
  drop_inherited();
  continue_behind_first_process();
  // Its memory, environment and descriptors are not for other processes of its user. A crash makes it dumpable again.
  (void)::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  raise_open_files();
  mark_fatal_signals();
  block_broken_pipes();
  std::signal(SIGXFSZ, SIG_IGN);  // NOLINT: a full disk is an error, not a death; before any thread
  std::optional<std::filesystem::path> file;
  if (auto ok = check_state_dir_owner(); !ok) return give_up(args, ok.error());  // before anything is made there
  auto config = read_config(common, file);
  if (!config) return give_up(args, config.error());
  const std::string workspace =
      args.workspace.empty() ? "" : std::filesystem::absolute(args.workspace).lexically_normal().string();
  add_workspace(*config, workspace);
  DaemonOptions options;
  options.socket = socket_path(common.socket);
  if (options.socket != fallback_socket()) options.fallback_socket = fallback_socket();
  options.needs_state = args.ready_fd >= 0;  // a client that starts a host wants the state folder's
  options.state_dir = state_dir();
  options.plugin_dir = plugin_dir();
  options.program = kOwnProgram;
  options.watch = args.watch;
  LogOptions log;
  log.file = options.state_dir / "gantry.log";
  log.level = config->log.level;
  log.file_max_bytes = static_cast<std::uint64_t>(config->log.file_max_bytes);
  log.files = static_cast<std::uint32_t>(config->log.files);
  log.to_stderr = config->log.to_stderr && args.ready_fd < 0;
  log.colours = colours_are_wanted(std::getenv("NO_COLOR"), std::getenv("TERM"));
  options.log = Log::open_or_stderr(std::move(log));
  // Where no file was named, and none was there, one may have come since.
  options.reload = [file, workspace]() -> ConfigResult<Config> {
    const auto path = file ? file : find_config_file(std::nullopt);
    auto fresh = path ? load_checked_config(*path, plugin_dir()) : ConfigResult<Config>(default_config());
    if (fresh) add_workspace(*fresh, workspace);
    return fresh;
  };
  options.config = std::move(*config);
  options.on_stuck = [keep = options.log] {
    keep->write(Level::error, "host", "something does not end; the process ends without it");
    keep->flush();
    std::_Exit(0);
  };
  if (const auto note = ignored_runtime_dir(); note && !socket_is_named(common.socket))
    options.log->write(Level::warn, "host", *note);
  const auto socket = options.socket;
  // All paths are absolute by now. A folder that somebody works in must not be held by a daemon.
  if (::chdir("/") != 0) options.log->write(Level::warn, "host", "the working folder cannot be left");
  auto daemon = Daemon::build(std::move(options));
  boost::asio::signal_set signals(daemon->workers().first().context(), SIGTERM, SIGINT, SIGHUP);
  on_signals(signals, *daemon);  // before anybody can know that it is there
  keep_signals();
  if (auto opened = daemon->open(); !opened) return give_up(args, opened.error());
  Console console(*daemon);
  if (args.ready_fd >= 0) {
    (void)!::write(args.ready_fd, "1", 1);
    ::close(args.ready_fd);
  } else {
    console.follow();
    console.greet(socket);
  }
  daemon->run();
  const bool clean = daemon->clean();
  if (!clean) std::_Exit(0);  // a thread that does not return may still use what would be taken down now
  return 0;
}

}  // namespace

int serve(const Common& common, const ServeArgs& args) { end_process(run_host(common, args)); }

}  // namespace gantry::host
