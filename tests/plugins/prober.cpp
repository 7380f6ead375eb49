// SPDX-License-Identifier: Apache-2.0
//
// A plugin that tries what it is told to, and says what the system answered: 0, or the error's number. It is built as
// "prober", which asks for nothing, and as "asker", which asks for much.
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <gantry/plugin.hpp>
#include <string>
#include <thread>

#include "tests/waiting.hpp"

extern char** environ;

namespace {

using namespace gantry;

[[nodiscard]] Result<json> told(long result) { return json{{"errno", result < 0 ? errno : 0}}; }

class Prober {
 public:
  explicit Prober(Host) {}

  Result<void> start(const PluginConfig& config) {
    folder_ = config.state_dir;
    if (config.settings.value("dies_at_start", false)) {
      (void)std::fprintf(stderr, "it cannot go on like this\n");
      ::_exit(3);
    }
    return {};
  }

  Result<json> reads(Call& call) { return opens(call, O_RDONLY); }
  Result<json> writes(Call& call) { return opens(call, O_WRONLY | O_CREAT); }
  Result<json> changes_mode(Call& call) { return told(::chmod(path(call).c_str(), 0600)); }
  Result<json> folder(Call&) { return json{{"path", folder_}}; }

  Result<json> socket(Call& call) {
    const int fd = ::socket(call.params().at("family"), call.params().value("type", int{SOCK_STREAM}),
                            call.params().value("protocol", 0));
    const auto answer = told(fd);
    if (fd >= 0) ::close(fd);
    return answer;
  }
  Result<json> socketpair(Call& call) {
    int ends[2] = {-1, -1};
    const auto answer = told(::socketpair(AF_UNIX, call.params().at("type"), 0, ends));
    for (const int fd : ends) {
      if (fd >= 0) ::close(fd);
    }
    return answer;
  }
  Result<json> connects(Call& call) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path(call).c_str(), sizeof address.sun_path - 1);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0) return told(fd);
    const auto answer = told(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address));
    ::close(fd);
    return answer;
  }

  Result<json> forks(Call&) {
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(0);
    const auto answer = told(pid);
    if (pid > 0) (void)::waitpid(pid, nullptr, 0);
    return answer;
  }
  Result<json> executes(Call&) {
    char* const argv[] = {const_cast<char*>("true"), nullptr};
    pid_t pid = -1;
    errno = ::posix_spawn(&pid, "/bin/true", nullptr, nullptr, argv, environ);
    const int why = errno;
    int status = -1;
    if (why == 0) (void)::waitpid(pid, &status, 0);
    return json{{"errno", why}, {"status", status}};
  }
  // In its place: it comes back only when it is refused.
  Result<json> becomes_another(Call&) {
    char* const argv[] = {const_cast<char*>("true"), nullptr};
    return told(::execve("/bin/true", argv, environ));
  }
  Result<json> signals(Call& call) {
    return told(::kill(call.params().at("pid").get<pid_t>(), call.params().value("signal", 0)));
  }
  Result<json> traces(Call& call) {
    return told(::ptrace(PTRACE_SEIZE, call.params().at("pid").get<pid_t>(), nullptr, nullptr));
  }
  Result<json> peeks(Call& call) {
    char byte = 0;
    iovec here{&byte, 1};
    iovec there{&byte, 1};
    return told(::process_vm_readv(call.params().at("pid").get<pid_t>(), &here, 1, &there, 1, 0));
  }
  Result<json> calls(Call& call) {  // a system call by its number, with arguments that do nothing
    return told(::syscall(call.params().at("number").get<long>(), -1, 0, 0, 0, 0));
  }
  Result<json> threads(Call&) {
    int seen = 0;
    std::thread([&seen] { seen = 1; }).join();
    return json{{"seen", seen}};
  }
  Result<json> raises(Call&) {
    (void)::signal(SIGUSR1, SIG_IGN);
    return told(::raise(SIGUSR1));
  }

  Result<json> environment(Call&) {
    json out = json::array();
    for (char** entry = environ; *entry != nullptr; ++entry) out.push_back(*entry);
    return out;
  }
  // What each open descriptor leads to, without that of the look itself.
  Result<json> descriptors(Call&) {
    json out = json::object();
    DIR* const folder = ::opendir("/proc/self/fd");
    while (const dirent* entry = folder == nullptr ? nullptr : ::readdir(folder)) {
      char target[256] = {};
      const std::string name = entry->d_name;
      if (name[0] == '.' || std::stoi(name) == ::dirfd(folder)) continue;
      (void)!::readlink(("/proc/self/fd/" + name).c_str(), target, sizeof target - 1);
      out[name] = target;
    }
    if (folder != nullptr) ::closedir(folder);
    return out;
  }
  Result<json> limits(Call&) {
    rlimit files{};
    rlimit memory{};
    (void)::getrlimit(RLIMIT_NOFILE, &files);
    (void)::getrlimit(RLIMIT_AS, &memory);
    return json{{"files", files.rlim_max}, {"memory", memory.rlim_max}};
  }

  Result<json> prints(Call& call) {
    const auto text = call.params().at("text").get<std::string>();
    const auto times = call.params().value("times", 1);
    for (int i = 0; i < times; ++i) (void)std::fprintf(stderr, "%s\n", text.c_str());
    return json::object();
  }
  void dies(Call call) {
    (void)std::fprintf(stderr, "%s\n", call.params().value("last_words", "alas").c_str());
    std::abort();
  }
  Result<json> misuses_memory(Call&) {
    auto* const freed = new int(1);
    delete freed;
    return json(*static_cast<volatile int*>(freed));  // NOLINT: on purpose
  }
  // No thread of this process does anything from here on, so nobody sees that the host is gone.
  void freezes(Call) {
    static std::atomic<int> frozen;
    (void)::signal(SIGHUP, SIG_IGN);
    (void)::signal(SIGUSR1, [](int) {
      ++frozen;
      for (;;) ::pause();
    });
    int others = 0;
    DIR* const threads = ::opendir("/proc/self/task");
    while (const dirent* entry = ::readdir(threads)) {
      const int thread = std::atoi(entry->d_name);
      if (thread != 0 && thread != ::gettid() && ::syscall(SYS_tgkill, ::getpid(), thread, SIGUSR1) == 0) ++others;
    }
    (void)test::polled([&] { return frozen >= others; });
    (void)std::fprintf(stderr, "frozen\n");
    for (;;) ::pause();
  }
  void spins(Call) {
    for (volatile bool for_ever = true; for_ever;) {
    }
  }

  static void define(Definition<Prober>& d) {
    d.id(PROBER).version("1.0.0").service(PROBER);
    if (std::string_view(PROBER) == "keyed") d.settings("ai");
    if (std::string_view(PROBER) == "asker")
      d.grant("network").grant("processes").grant("read:/").grant("write:$STATE/shared").grant("read:workspace");
    using P = Prober;
    d.method(PROBER ".reads", &P::reads).method(PROBER ".writes", &P::writes).method(PROBER ".folder", &P::folder);
    d.method(PROBER ".changes_mode", &P::changes_mode).method(PROBER ".socket", &P::socket);
    d.method(PROBER ".socketpair", &P::socketpair).method(PROBER ".connects", &P::connects);
    d.method(PROBER ".forks", &P::forks).method(PROBER ".executes", &P::executes);
    d.method(PROBER ".becomes_another", &P::becomes_another).method(PROBER ".signals", &P::signals);
    d.method(PROBER ".traces", &P::traces).method(PROBER ".peeks", &P::peeks).method(PROBER ".calls", &P::calls);
    d.method(PROBER ".threads", &P::threads).method(PROBER ".raises", &P::raises).method(PROBER ".limits", &P::limits);
    d.method(PROBER ".environment", &P::environment).method(PROBER ".descriptors", &P::descriptors);
    d.method(PROBER ".prints", &P::prints).method(PROBER ".dies", &P::dies).method(PROBER ".spins", &P::spins);
    d.method(PROBER ".misuses_memory", &P::misuses_memory);
    d.method(PROBER ".freezes", &P::freezes);
  }

 private:
  static std::string path(Call& call) { return call.params().at("path"); }
  static Result<json> opens(Call& call, int flags) {
    const int fd = ::open(path(call).c_str(), flags | O_CLOEXEC, 0600);
    const auto answer = told(fd);
    if (fd >= 0) ::close(fd);
    return answer;
  }
  std::string folder_;
};

}  // namespace
GANTRY_PLUGIN(Prober)
