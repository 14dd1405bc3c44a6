// JSON as a stream: one document, written as it is made, whatever its length.
//
// 64-bit ids are strings (a double holds only 53 bits). Text that is not UTF-8 is written with U+FFFD in
// place of each bad byte, and bytes() adds "<key>_base64" with the exact bytes: valid JSON for every
// parser, and nothing lost.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::cli {

// `text` between quotes, as JSON writes it.
std::string json_quote(std::string_view text);
bool is_utf8(std::string_view text);
std::string base64(std::string_view bytes);

class JsonWriter {
 public:
  // Text leaves through `sink` in pieces of about 64 KiB and at the end of the document.
  using Sink = void (*)(std::string_view text);
  explicit JsonWriter(Sink sink) : sink_(sink) {}

  bool started() const { return started_; }

  void begin_object(std::string_view key = {});
  void begin_array(std::string_view key = {});
  void end();

  void text(std::string_view key, std::string_view value);
  void number(std::string_view key, std::uint64_t value);
  void number(std::string_view key, std::int64_t value);
  void number(std::string_view key, double value);
  void boolean(std::string_view key, bool value);
  void null(std::string_view key);
  void id(std::string_view key, std::uint64_t value);  // as a string
  void bytes(std::string_view key, std::string_view value);  // names and paths

  // Closes down to the outermost object, so that one more member can be written there.
  void unwind();

 private:
  void prefix(std::string_view key);
  void raw(std::string_view text);

  Sink sink_;
  std::string pending_;
  struct Level { char close; bool empty; };
  std::vector<Level> levels_;
  bool started_ = false;
};

}  // namespace hearth::cli
