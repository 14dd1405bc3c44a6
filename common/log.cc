// The only file that knows spdlog: it lends its bounded queue and writer thread. Formatting is ours
// (common/log_format.h), because a record must stay one record whatever a path holds.
#include "common/log.h"

#include "common/fd.h"
#include "common/log_format.h"

#include <spdlog/async_logger.h>
#include <spdlog/details/null_mutex.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/base_sink.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <fcntl.h>
#include <pthread.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

namespace hearth {
namespace {

constexpr std::size_t queue_records = 8192;
constexpr const char* journal_socket = "/run/systemd/journal/socket";

// One write(2) per line, so that lines of several processes in one file do not interleave.
void write_line(int fd, std::string line) {
  line += '\n';
  std::string_view left = line;
  while (!left.empty()) {
    const ssize_t written = ::write(fd, left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // nowhere left to say it
    left.remove_prefix(static_cast<std::size_t>(written));
  }
}

std::string encode(LogFormat format, const LogRecord& record) {
  if (format == LogFormat::json) return format_json(record);
  if (format == LogFormat::journal) return pack_strings(format_journal(record));
  return format_text(record);
}

// Where encoded records go. On spdlog's thread only, hence the null mutex.
class OutputSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  OutputSink(LogFormat format, UniqueFd file) : format_(format), file_(std::move(file)) {}

  void watch(spdlog::details::thread_pool* pool) { pool_ = pool; }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    report_drops();
    deliver(std::string_view(message.payload.data(), message.payload.size()));
  }
  void flush_() override {}

 private:
  void report_drops() {
    const std::size_t dropped = pool_->overrun_counter();
    if (dropped == reported_drops_) return;
    const LogField field("count", dropped - reported_drops_);
    reported_drops_ = dropped;
    const LogRecord record{LogLevel::warn, std::chrono::system_clock::now(), "log_records_dropped", {&field, 1}};
    deliver(encode(format_, record));
  }

  void deliver(std::string_view encoded) {
    if (format_ != LogFormat::journal) return write_line(file_ ? file_.get() : STDERR_FILENO, std::string(encoded));
    const auto entries = unpack_strings(encoded);
    std::vector<iovec> parts;
    parts.reserve(entries.size());
    for (const auto entry : entries) parts.push_back({const_cast<char*>(entry.data()), entry.size()});
    // Without a journal (in a container) libsystemd claims success; standard error gets the message instead.
    const bool sent = ::access(journal_socket, F_OK) == 0 &&
        ::sd_journal_sendv(parts.data(), static_cast<int>(parts.size())) >= 0;
    if (sent || entries.empty()) return;
    std::string_view line = entries.front();
    line.remove_prefix(std::min(line.size(), line.find('=') + 1));
    write_line(STDERR_FILENO, std::string(line));
  }

  // Set once.
  LogFormat format_;
  UniqueFd file_;
  spdlog::details::thread_pool* pool_ = nullptr;  // it joins the writer thread before it goes away
  // Writer thread only.
  std::size_t reported_drops_ = 0;
};

struct Output {
  LogFormat format;
  std::shared_ptr<spdlog::async_logger> logger;
  std::shared_ptr<spdlog::details::thread_pool> pool;  // last: joined first, while the logger still lives
};

std::atomic<LogLevel> current_level{LogLevel::info};
std::mutex output_mutex;
std::shared_ptr<const Output> output;  // guarded by output_mutex; shared with calls in flight
std::atomic<std::uint64_t> drops_before{0};

// A forked child must not find the mutex locked by a thread that it does not have.
void lock_over_fork() {
  static const int registered = ::pthread_atfork([] { output_mutex.lock(); }, [] { output_mutex.unlock(); },
                                                 [] { output_mutex.unlock(); });
  (void)registered;
}

std::shared_ptr<const Output> current_output() {
  lock_over_fork();
  const std::lock_guard lock(output_mutex);
  return output;
}

// Opens the log file; without it, standard error serves and says why.
UniqueFd open_file(const std::string& path) {
  if (path.empty()) return UniqueFd();
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
  if (!file) {
    log_error("log_file_unusable", {{"file", path}, {"error", std::strerror(errno)}, {"now_logging_to", "stderr"}});
  }
  return file;
}

}  // namespace

void start_logging(const LogOptions& options) {
  stop_logging();
  current_level.store(options.level, std::memory_order_relaxed);
  auto made = std::make_shared<Output>();
  made->format = options.format;
  made->pool = std::make_shared<spdlog::details::thread_pool>(queue_records, 1);
  auto sink = std::make_shared<OutputSink>(options.format, open_file(options.file));
  sink->watch(made->pool.get());
  made->logger = std::make_shared<spdlog::async_logger>("hearth", std::move(sink), made->pool,
                                                        spdlog::async_overflow_policy::overrun_oldest);
  made->logger->set_level(spdlog::level::trace);  // filtered by ours
  const std::lock_guard lock(output_mutex);
  output = std::move(made);
}

void stop_logging() {
  std::shared_ptr<const Output> last;
  {
    const std::lock_guard lock(output_mutex);
    last = std::move(output);
    output = nullptr;
  }
  if (last) drops_before.fetch_add(last->pool->overrun_counter(), std::memory_order_relaxed);
  // Dropping the last reference joins the writer, which empties the queue first.
}

void set_log_level(LogLevel level) { current_level.store(level, std::memory_order_relaxed); }

bool log_enabled(LogLevel level) {
  return level != LogLevel::off && level >= current_level.load(std::memory_order_relaxed);
}

std::uint64_t log_dropped_records() {
  const auto out = current_output();
  return drops_before.load(std::memory_order_relaxed) + (out ? out->pool->overrun_counter() : 0);
}

void log_event(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  if (!log_enabled(level)) return;
  const LogRecord record{level, std::chrono::system_clock::now(), event, {fields.begin(), fields.size()}};
  const auto out = current_output();
  if (!out) return write_line(STDERR_FILENO, format_text(record));
  const std::string encoded = encode(out->format, record);
  out->logger->log(spdlog::level::info, spdlog::string_view_t(encoded.data(), encoded.size()));
}

}  // namespace hearth
