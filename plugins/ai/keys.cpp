// SPDX-License-Identifier: Apache-2.0
#include "plugins/ai/keys.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <gantry/mutex.hpp>

namespace gantry::ai {

namespace {

std::unexpected<Error> no_key(const std::string& why) { return fail(ErrorKind::unavailable, why); }

Result<Key> keyed(Result<std::string> text, std::uint64_t run) {
  if (!text) return std::unexpected(std::move(text.error()));
  return Key{std::move(*text), run};
}

// The first line, without the white space around it.
Result<std::string> checked(std::string text, const std::string& from) {
  text.resize(std::min(text.size(), text.find_first_of("\r\n")));
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string::npos) return no_key("the key from " + from + " is empty");
  text = text.substr(first, text.find_last_not_of(" \t") - first + 1);
  if (text.size() > kMaxKey) return no_key("the key from " + from + " is longer than 16 KiB");
  if (std::any_of(text.begin(), text.end(), [](unsigned char c) { return c <= ' ' || c >= 0x7F; })) {
    return no_key("the key from " + from + " holds characters that an HTTP header cannot carry");
  }
  return text;
}

Result<void> check_file(int fd, const std::string& path) {
  struct stat info{};
  if (fd < 0 || ::fstat(fd, &info) != 0)
    return no_key("the key file " + path + " cannot be read: " + std::strerror(errno));
  if (!S_ISREG(info.st_mode)) return no_key("the key file " + path + " is no regular file");
  if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return no_key("the key file " + path + " is open to other users; run: chmod 600 " + path +
                  ", or, where that cannot be changed, api_key_command = \"cat " + path + "\"");
  }
  return {};
}

Result<std::string> read_file(const std::string& path, bool contents) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (auto ok = check_file(fd, path); !ok) {
    if (fd >= 0) (void)::close(fd);
    return std::unexpected(ok.error());
  }
  std::string text(contents ? kMaxKey + 2 : 0, '\0');
  const ssize_t got = contents ? ::read(fd, text.data(), text.size()) : 0;
  const int why = errno;
  (void)::close(fd);
  if (got < 0) return no_key("the key file " + path + " cannot be read: " + std::strerror(why));
  text.resize(static_cast<std::size_t>(got));
  return text;
}

}  // namespace

Result<void> key_available(const KeySource& source) {
  if (source.kind == KeySource::Kind::environment && std::getenv(source.value.c_str()) == nullptr) {
    return no_key("the environment variable " + source.value +
                  ", which should hold the key, is not set in the host's environment, which is that of whoever started "
                  "it; set it there and restart the host (`gantry stop`), or use api_key_file");
  }
  if (source.kind == KeySource::Kind::file) {
    if (auto file = read_file(source.value, false); !file) return std::unexpected(file.error());
  }
  return {};
}

struct KeyRing::Command {
  explicit Command(std::uint64_t number) : run(number) {}
  // What it has printed, or why it has failed. No value: it runs.
  [[nodiscard]] std::optional<Result<std::string>> printed() const {
    Lock lock(mutex);
    return key;
  }
  const std::uint64_t run;
  mutable Mutex mutex;
  std::optional<Result<std::string>> key GANTRY_GUARDED_BY(mutex);
};

std::optional<Result<Key>> KeyRing::get(const ProviderConfig& provider, bool waited) {
  const KeySource& source = provider.key;
  switch (source.kind) {
    case KeySource::Kind::none:
      return Key{};
    case KeySource::Kind::environment: {
      if (auto ok = key_available(source); !ok) return std::unexpected(ok.error());
      return keyed(checked(std::getenv(source.value.c_str()), "the environment variable " + source.value), 0);
    }
    case KeySource::Kind::file: {
      auto text = read_file(source.value, true);
      return keyed(text ? checked(std::move(*text), "the file " + source.value) : std::move(text), 0);
    }
    case KeySource::Kind::command:
      break;
  }
  return of_command(provider, waited);
}

std::optional<Result<Key>> KeyRing::of_command(const ProviderConfig& provider, bool waited) {
  auto& command = commands_[{provider.name, provider.key.value}];
  auto text = command ? command->printed() : std::nullopt;
  if (!command || (text && !*text && !waited)) {
    command = run(provider);
    return std::nullopt;  // also when it has answered by now
  }
  if (!text) return std::nullopt;
  return keyed(std::move(*text), command->run);
}

std::shared_ptr<KeyRing::Command> KeyRing::run(const ProviderConfig& provider) {
  auto command = std::make_shared<Command>(++last_run_);
  run_(provider.name, [answer = command, wake = wake_](Result<std::string> printed) {
    auto key = printed ? checked(std::move(*printed), "api_key_command") : std::move(printed);
    {
      Lock lock(answer->mutex);
      answer->key.emplace(std::move(key));
    }
    wake();
  });
  return command;
}

void KeyRing::forget(const ProviderConfig& provider, std::uint64_t run) {
  const auto known = commands_.find({provider.name, provider.key.value});
  if (known != commands_.end() && known->second->run == run) commands_.erase(known);
}

void KeyRing::forget_all() {
  std::erase_if(commands_, [](const auto& command) { return command.second->printed().has_value(); });
}

}  // namespace gantry::ai
