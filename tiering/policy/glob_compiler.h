// From the text of a pattern to a Glob. Private to glob.cc and its tests.
//
// Threads: one compiler, one thread.
#pragma once

#include "tiering/policy/glob.h"

namespace hearth::policy {

class GlobCompiler {
 public:
  explicit GlobCompiler(std::string_view pattern) : pattern_(pattern) {}
  Result<Glob> compile();

 private:
  // A byte of a pattern without braces, and where it stood before they were expanded.
  struct Byte {
    char value = 0;
    std::uint32_t at = 0;
  };
  using Text = std::vector<Byte>;

  Error fault(std::size_t at, std::string_view what) const;
  Status expand(Text done, Text rest, std::vector<Text>& out) const;
  Result<std::vector<Text>> expand() const;
  Status add(const Text& text);
  Status add_component(Glob::Alternative& alternative, const Text& text);
  Result<std::size_t> add_set(const Text& text, std::size_t open);  // answers the index after "]"
  void add_literal(char byte);
  void finish(Glob::Alternative& alternative);

  const std::string_view pattern_;
  Glob glob_;
  std::uint32_t component_first_ = 0;  // ops of the component under way begin here
};

}  // namespace hearth::policy
