#include "tiering/policy/attributes.h"

namespace hearth::policy {
namespace {

constexpr ByteSize max_prefetch = 1_TiB;

}  // namespace

Result<Prefetch> parse_prefetch(std::string_view text) {
  using What = Prefetch::What;
  if (text == "none") return Prefetch{.what = What::none, .bytes = {}};
  if (text == "whole-file") return Prefetch{.what = What::whole_file, .bytes = {}};
  for (const auto& [word, what] : {std::pair<std::string_view, What>{"window ", What::window}, {"footer ", What::footer}}) {
    if (!text.starts_with(word)) continue;
    Result<ByteSize> bytes = parse_size(text.substr(word.size()));
    if (!bytes) return bytes.error();
    if (bytes->bytes == 0 || *bytes > max_prefetch) {
      return Error(Code::invalid_argument, "is '" + std::string(text) + "'; allowed are 1B to 1TiB, or none");
    }
    return Prefetch{.what = what, .bytes = *bytes};
  }
  return Error(Code::invalid_argument,
               "wants none, whole-file, \"window SIZE\" or \"footer SIZE\", not the text '" + std::string(text) + "'");
}

std::string to_text(const Prefetch& prefetch) {
  switch (prefetch.what) {
    case Prefetch::What::none: return "none";
    case Prefetch::What::whole_file: return "whole-file";
    case Prefetch::What::window: return "window " + exact_size(prefetch.bytes);
    case Prefetch::What::footer: return "footer " + exact_size(prefetch.bytes);
  }
  return "none";
}

Result<ClassName> parse_class_name(std::string_view text) {
  const bool plain = text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_") == std::string_view::npos;
  if (text.empty() || text.size() > ClassName::max_bytes || !plain) {
    return Error(Code::invalid_argument, "wants a name of 1 to 31 of a-z, 0-9, - and _, not the text '" + std::string(text) + "'");
  }
  return ClassName(text);
}

std::string to_text(const ClassName& name) { return std::string(name.view()); }

}  // namespace hearth::policy
