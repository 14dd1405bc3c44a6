// Path patterns of the policy, compiled once.
//
//   *        any bytes within one component, also none, also a leading dot
//   ?        one byte other than '/'
//   [a-c_]   one of these bytes; [!...] or [^...] one that is none of these; never '/'
//   {a,b/c}  one of these patterns; may be nested
//   **       alone between slashes: any number of components, also none; at the end: everything below
//   \x       the byte x itself
//
// A pattern begins with '/' or with '**'. Paths are bytes: case counts, nothing is decoded.
//
// Threads: immutable; any.
// Fails:   compile() with invalid_argument, which says at which byte.
#pragma once

#include <hearth/result.h>

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::policy {

inline constexpr std::size_t max_glob_bytes = 1024;
inline constexpr std::size_t max_glob_alternatives = 256;  // what braces may multiply to

class Glob {
 public:
  static Result<Glob> compile(std::string_view pattern);

  // `path` is absolute, without empty components. Takes at most |path| * |pattern| steps per alternative; allocates
  // nothing.
  bool matches(std::string_view path) const;

  const std::string& text() const { return text_; }
  std::size_t alternatives() const { return alternatives_.size(); }
  // Whether every path that `other` matches is certainly matched by this one, too. "No" may be wrong.
  bool covers(const Glob& other) const;

 private:
  friend class GlobCompiler;
  enum class OpKind : std::uint8_t { literal, any, set, star };
  struct Op {
    OpKind kind;
    std::uint32_t index = 0;   // literal: into bytes_; set: into sets_
    std::uint32_t length = 0;  // literal
  };
  struct Component {
    std::uint32_t first = 0;  // ops
    std::uint32_t last = 0;
    bool any_number = false;  // "**"
  };
  struct Alternative {
    std::string prefix;  // a path begins with it, or does not match
    std::string suffix;  // and ends with it
    std::vector<Component> components;
    bool everything_below_prefix = false;  // "/a/b/**"
  };

  bool matches(const Alternative& alternative, std::string_view path) const;
  bool matches(const Component& component, std::string_view name) const;
  std::size_t taken(const Op& op, std::string_view rest) const;

  std::string text_;
  std::string bytes_;
  std::vector<std::bitset<256>> sets_;
  std::vector<Op> ops_;
  std::vector<Alternative> alternatives_;
};

}  // namespace hearth::policy
