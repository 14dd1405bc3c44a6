// The rules of a path in the namespace, in one place.
//
// A path is absolute raw bytes: components of 1 to 255 bytes other than "." and "..", joined by single
// slashes, 4096 bytes at most, no zero byte. "/" is the root. A trailing slash is an empty component.
// Fails:   invalid_argument, name_too_long; the message says which component is wrong.
#pragma once

#include <hearth/result.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::master {

inline constexpr std::size_t max_path_bytes = 4096;
inline constexpr std::size_t max_name_bytes = 255;

// A path that kept the rules. Components are owned: paths cross threads and turns.
class NamespacePath {
 public:
  static Result<NamespacePath> parse(std::string_view text);

  const std::string& text() const { return text_; }
  const std::vector<std::string>& components() const { return components_; }
  bool is_root() const { return components_.empty(); }
  // The path of the first `count` components.
  NamespacePath ancestor(std::size_t count) const;
  NamespacePath child(std::string_view name) const;
  // The components after the first `count`, joined without a leading slash: a path inside a store.
  std::string relative_to(std::size_t count) const;
  // Whether `other` is this path or lies below it.
  bool contains(const NamespacePath& other) const;

 private:
  std::string text_ = "/";
  std::vector<std::string> components_;
};

// For messages: bytes that would confuse a terminal or a log become \xNN.
std::string printable(std::string_view bytes);

}  // namespace hearth::master
