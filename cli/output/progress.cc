#include "cli/output/progress.h"

#include "common/units.h"

#include <unistd.h>

#include <cstdio>

namespace hearth::cli {
namespace {

constexpr std::size_t bar_cells = 24;
constexpr auto redraw_every = std::chrono::milliseconds(200);
constexpr auto line_every = std::chrono::seconds(10);

std::string bar(double part) {
  const auto full = static_cast<std::size_t>(part * bar_cells);
  std::string out;
  for (std::size_t i = 0; i < bar_cells; ++i) out += i < full ? "\u2588" : "\u2591";
  return out;
}

void put(const std::string& text) {
  const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
  (void)written;  // progress that nobody can see is no failure
}

}  // namespace

std::string progress_text(const std::string& verb, const ProgressFigures& figures, ProgressStyle style) {
  std::string out = verb;
  const double part = figures.total_bytes == 0 ? 0.0
      : std::min(1.0, static_cast<double>(figures.done_bytes) / static_cast<double>(figures.total_bytes));
  if (figures.total_known && figures.total_bytes > 0) {
    char percent[16];
    std::snprintf(percent, sizeof percent, "  %3.0f%%", part * 100);
    if (style == ProgressStyle::bar) out += "  " + bar(part);
    out += percent;
  }
  out += "  " + human_size(figures.done_bytes) + " of " + human_size(figures.total_bytes) + (figures.total_known ? "" : " so far");
  out += "  " + std::to_string(figures.done_files) + "/" + std::to_string(figures.total_files) + " files";
  if (figures.elapsed.count() > 0) out += "  " + human_rate(figures.done_bytes, figures.elapsed);
  if (figures.total_known && part > 0.0 && part < 1.0) {
    const auto left = std::chrono::nanoseconds(static_cast<std::int64_t>(static_cast<double>(figures.elapsed.count()) * (1.0 - part) / part));
    out += "  eta " + human_duration(left);
  }
  if (figures.failed_files > 0) out += "  failed " + std::to_string(figures.failed_files);
  return out;
}

Progress::Progress(std::string verb, ProgressStyle style)
    : verb_(std::move(verb)), style_(style), started_(std::chrono::steady_clock::now()) {
  if (style_ != ProgressStyle::none) thread_ = std::thread([this] { run(); });
}

void Progress::stop() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  if (style_ == ProgressStyle::bar) put("\r\033[K");
}

ProgressFigures Progress::figures() const {
  return {.done_bytes = done_bytes_, .total_bytes = total_bytes_, .done_files = done_files_,
          .total_files = total_files_, .failed_files = failed_files_, .total_known = total_known_,
          .elapsed = std::chrono::steady_clock::now() - started_};
}

void Progress::run() {
  std::unique_lock lock(mutex_);
  const bool is_bar = style_ == ProgressStyle::bar;
  while (!stopping_) {
    const auto pause = is_bar ? std::chrono::nanoseconds(redraw_every) : std::chrono::nanoseconds(line_every);
    if (changed_.wait_for(lock, pause, [this] { return stopping_; })) return;
    const std::string text = progress_text(verb_, figures(), style_);
    put(is_bar ? "\r\033[K" + text : text + "\n");
  }
}

}  // namespace hearth::cli
