// Where results, remarks and errors of a command go.
//
// Results: standard output, as text or as one JSON document. Remarks and errors: standard error, one
// sentence each; with --json an error is part of the document on standard output.
// Threads: line(), remark() and failure() may be called by any thread; the JSON writer by one.
#pragma once

#include "cli/output/json.h"

#include <hearth/result.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::cli {

enum class Style : std::uint8_t { text, json };
enum class Chatter : std::uint8_t { quiet, normal, verbose };

class Output {
 public:
  Output(Style style, Chatter chatter);

  bool is_json() const { return style_ == Style::json; }
  bool is_verbose() const { return chatter_ == Chatter::verbose; }
  bool is_quiet() const { return chatter_ == Chatter::quiet; }

  // The JSON document, opened as an object on first use; finish() closes it.
  JsonWriter& json();
  void line(std::string_view text);    // a result; nothing with --json
  void remark(std::string_view text);  // nothing when quiet or with --json
  void failure(const Error& error);    // ends the command: standard error, or "error" of the document
  void complaint(const Error& error);  // one of several; standard error, also with --json
  // Closes the document and flushes. An error when standard output could not take it all.
  Status finish();

 private:
  Style style_;
  Chatter chatter_;
  JsonWriter json_;
};

// Writes all of `bytes` to standard output. A reader that went away ends the process quietly, as other
// tools do; any other failure is remembered for Output::finish().
// An id of a worker or a cluster: 16 hex digits.
std::string hex_id(std::uint64_t id);
void write_stdout(std::string_view bytes);

// Columns with two spaces between them; `right` names the columns that are numbers.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header, std::string_view alignment);
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  void print(Output& out) const;

 private:
  std::vector<std::vector<std::string>> rows_;
  std::string alignment_;  // 'l' or 'r' per column
};

// A name on a terminal: control characters and, there, bytes that are not UTF-8 as \xNN. Into a pipe: as it is.
std::string printable(std::string_view name);

bool stdout_is_terminal();
bool stderr_is_terminal();

}  // namespace hearth::cli
