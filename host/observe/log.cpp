// SPDX-License-Identifier: Apache-2.0
//
// The only file that includes spdlog and fmt; both header-only, so that the host loads no library for them.
#define SPDLOG_FMT_EXTERNAL
#define FMT_HEADER_ONLY
#define SPDLOG_LEVEL_NAMES {"TRACE", "DEBUG", "INFO ", "WARN ", "ERROR", "FATAL", "OFF  "}
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <algorithm>
#include <host/observe/log.hpp>
#include <host/observe/printable.hpp>
#include <host/observe/ready_writer.hpp>
#include <host/observe/rotating_file.hpp>
#include <mutex>

namespace gantry::host {
namespace {

constexpr const char* kPattern = "%Y-%m-%dT%H:%M:%S.%eZ %^%l%$ %v";
constexpr std::size_t kPrefixBytes = std::string_view("2026-01-31T12:00:00.123Z INFO  ").size();
constexpr std::size_t kMaxText = kMaxLogLine - kPrefixBytes - kMaxLogComponent - std::string_view(": \n").size();

// spdlog's logger catches what a sink throws and hands it to the error handler, which counts it.
void throw_if(const std::error_code& error) {
  if (error) throw spdlog::spdlog_ex(error.message());
}

std::string_view view(const spdlog::memory_buf_t& buffer) { return {buffer.data(), buffer.size()}; }

class FileSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit FileSink(std::unique_ptr<RotatingFile> file) : file_(std::move(file)) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& msg) override {
    spdlog::memory_buf_t line;
    formatter_->format(msg, line);
    throw_if(file_->append(view(line)));
  }
  void flush_() override { throw_if(file_->sync()); }

 private:
  std::unique_ptr<RotatingFile> file_;
};

class StderrSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  StderrSink(int fd, bool colours) : writer_(fd), colours_(colours && ::isatty(fd) == 1) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& msg) override {
    spdlog::memory_buf_t line;
    formatter_->format(msg, line);
    const std::string_view text = view(line);
    std::string out;
    if (colours_) {
      out += text.substr(0, msg.color_range_start);
      out += colour(msg.level);
      out += text.substr(msg.color_range_start, msg.color_range_end - msg.color_range_start);
      out += "\x1b[0m";
      out += text.substr(msg.color_range_end);
    } else {
      out += text;
    }
    if (!writer_.write(out)) throw spdlog::spdlog_ex("stderr takes nothing");
  }
  void flush_() override {}

 private:
  static std::string_view colour(spdlog::level::level_enum level) {
    if (level >= spdlog::level::err) return "\x1b[31m";
    if (level >= spdlog::level::warn) return "\x1b[33m";
    return level >= spdlog::level::info ? "\x1b[32m" : "\x1b[90m";
  }

  ReadyWriter writer_;
  bool colours_;
};

spdlog::level::level_enum spdlog_level(Level level) {
  switch (level) {
    case Level::trace:
      return spdlog::level::trace;
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warn:
      return spdlog::level::warn;
    case Level::error:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

class SpdlogLog final : public Log {
 public:
  SpdlogLog(const LogOptions& options, std::unique_ptr<RotatingFile> file, std::optional<Error> problem)
      : Log(options.level), clock_(options.clock), problem_(std::move(problem)), logger_("gantry") {
    if (file != nullptr) logger_.sinks().push_back(std::make_shared<FileSink>(std::move(file)));
    if (options.to_stderr) logger_.sinks().push_back(std::make_shared<StderrSink>(options.stderr_fd, options.colours));
    logger_.set_level(spdlog::level::trace);
    if (!logger_.sinks().empty()) logger_.set_pattern(kPattern, spdlog::pattern_time_type::utc);
    logger_.set_error_handler([this](const std::string&) { dropped_.fetch_add(1, std::memory_order_relaxed); });
  }

  void flush() noexcept override {
    guarded([&] { logger_.flush(); });
  }
  [[nodiscard]] std::uint64_t dropped() const noexcept override { return dropped_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::optional<Error> problem() const override { return problem_; }

 protected:
  void record(Level level, std::string_view component, std::string_view line) noexcept override {
    guarded([&] {
      const std::string text = printable(component, kMaxLogComponent) + ": " + printable(line, kMaxText);
      logger_.log(clock_(), spdlog::source_loc{}, spdlog_level(level), spdlog::string_view_t(text.data(), text.size()));
    });
  }

 private:
  template <class Run>
  void guarded(Run run) noexcept {
    try {
      run();
    } catch (...) {  // out of memory, say
      dropped_.fetch_add(1, std::memory_order_relaxed);
    }
  }

  std::function<std::chrono::system_clock::time_point()> clock_;
  std::optional<Error> problem_;
  std::atomic<std::uint64_t> dropped_{0};
  spdlog::logger logger_;
};

Result<std::unique_ptr<RotatingFile>> open_file(const LogOptions& options) {
  if (options.file.empty()) return nullptr;
  auto file = std::make_unique<RotatingFile>(options.file, std::max<std::uint64_t>(options.file_max_bytes, kMaxLogLine),
                                             options.files);
  if (const auto error = file->open()) {
    return fail(ErrorKind::storage_failed, "the log file " + printable(options.file.native(), 1024) +
                                               " cannot be opened: " + error.message() +
                                               "; make its folder writable, or name another state folder");
  }
  return file;
}

}  // namespace

Result<std::shared_ptr<Log>> Log::open(LogOptions options) {  // NOLINT(performance-unnecessary-value-param)
  auto file = open_file(options);
  if (!file) return std::unexpected(file.error());
  return std::make_shared<SpdlogLog>(options, std::move(*file), std::nullopt);
}

bool colours_are_wanted(const char* no_color, const char* term) {
  if (no_color != nullptr && *no_color != '\0') return false;
  return term == nullptr || std::string_view(term) != "dumb";
}

std::shared_ptr<Log> Log::open_or_stderr(LogOptions options) {
  auto file = open_file(options);
  if (file) return std::make_shared<SpdlogLog>(options, std::move(*file), std::nullopt);
  options.to_stderr = true;
  auto log = std::make_shared<SpdlogLog>(options, nullptr, file.error());
  log->write(Level::error, "log", file.error().message + "; logging to stderr only");
  return log;
}

}  // namespace gantry::host
