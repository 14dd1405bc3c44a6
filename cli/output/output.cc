#include "cli/output/output.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include <array>

namespace hearth::cli {
namespace {

int stdout_error = 0;

std::mutex& output_mutex() {
  static std::mutex mutex;
  return mutex;
}

void write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      if (fd != STDOUT_FILENO) return;
      if (errno == EPIPE) _exit(128 + SIGPIPE);  // as if SIGPIPE, which libraries want ignored, had been taken
      stdout_error = errno;
      return;
    }
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

// Width on a terminal, near enough: code points.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace

void write_stdout(std::string_view bytes) { write_all(STDOUT_FILENO, bytes); }
bool stdout_is_terminal() { return ::isatty(STDOUT_FILENO) == 1; }
bool stderr_is_terminal() { return ::isatty(STDERR_FILENO) == 1; }

Output::Output(Style style, Chatter chatter) : style_(style), chatter_(chatter), json_(write_stdout) {}

JsonWriter& Output::json() {
  if (!json_.started()) json_.begin_object();
  return json_;
}

void Output::line(std::string_view text) {
  if (is_json()) return;
  std::string whole(text);
  whole += '\n';
  std::lock_guard lock(output_mutex());
  write_stdout(whole);
}

void Output::remark(std::string_view text) {
  if (is_json() || is_quiet()) return;
  std::lock_guard lock(output_mutex());
  write_all(STDERR_FILENO, std::string(text) + "\n");
}

void Output::complaint(const Error& error) {
  std::lock_guard lock(output_mutex());
  write_all(STDERR_FILENO, "hearth: " + printable(error.message()) + "\n");
}

void Output::failure(const Error& error) {
  if (!is_json()) {
    complaint(error);
    return;
  }
  JsonWriter& writer = json();
  writer.unwind();
  writer.begin_object("error");
  writer.text("code", name(error.code()));
  writer.text("message", error.message());
  writer.number("exit_code", static_cast<std::int64_t>(info(error.code()).exit_code));
  writer.end();
}

Status Output::finish() {
  if (is_json()) {
    json().unwind();
    json().end();
  }
  if (stdout_error == 0) return ok();
  return Error(code_from_errno(stdout_error),
               std::string("standard output could not be written: ") + std::strerror(stdout_error) + "; the result is not complete");
}

TextTable::TextTable(std::vector<std::string> header, std::string_view alignment) : alignment_(alignment) {
  rows_.push_back(std::move(header));
}

void TextTable::print(Output& out) const {
  std::vector<std::size_t> widths(alignment_.size());
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  for (const auto& row : rows_) {
    std::string text;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string fill(widths[i] - width(row[i]), ' ');
      if (i > 0) text += "  ";
      text += alignment_[i] == 'r' ? fill + row[i] : row[i] + fill;
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out.line(text);
  }
}

std::string printable(std::string_view name) {
  static const bool terminal = stdout_is_terminal();
  std::string out;
  const bool readable = is_utf8(name);
  for (char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    const bool odd = byte < 0x20 || byte == 0x7F || (!readable && byte >= 0x80);
    if (!terminal || !odd) {
      out += c;
      continue;
    }
    char escaped[8];
    std::snprintf(escaped, sizeof escaped, "\\x%02x", byte);
    out += escaped;
  }
  return out;
}

std::string hex_id(std::uint64_t id) {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(id));
  return text.data();
}

}  // namespace hearth::cli
