#include "tiering/policy/glob_compiler.h"

#include <algorithm>

namespace hearth::policy {
namespace {

// The index of what ends a bracket expression that opens at `open`, or the size when nothing does.
// A "]" that comes first is a member.
template <class Text>
std::size_t end_of_set(const Text& text, std::size_t open) {
  std::size_t at = open + 1;
  if (at < text.size() && (text[at].value == '!' || text[at].value == '^')) ++at;
  for (bool first = true; at < text.size(); ++at, first = false) {
    if (text[at].value == ']' && !first) return at;
    if (text[at].value == '\\') ++at;
  }
  return text.size();
}

}  // namespace

Error GlobCompiler::fault(std::size_t at, std::string_view what) const {
  return Error(Code::invalid_argument, "the pattern '" + std::string(pattern_.substr(0, 256)) + "' is wrong at byte " +
                                           std::to_string(at + 1) + ": " + std::string(what));
}

Result<Glob> GlobCompiler::compile() {
  if (pattern_.size() > max_glob_bytes) return fault(max_glob_bytes, "patterns have at most 1024 bytes");
  if (pattern_.find('\0') != std::string_view::npos) return fault(pattern_.find('\0'), "paths have no zero bytes");
  TRY(texts, expand());
  for (const Text& text : texts) CHECK_OK(add(text));
  glob_.text_ = pattern_;
  return std::move(glob_);
}

Result<std::vector<GlobCompiler::Text>> GlobCompiler::expand() const {
  Text whole;
  for (std::size_t i = 0; i < pattern_.size(); ++i) whole.push_back({pattern_[i], static_cast<std::uint32_t>(i)});
  std::vector<Text> out;
  CHECK_OK(expand({}, std::move(whole), out));
  return out;
}

// Takes `rest` over into `done` up to its first brace, then goes on once for each alternative in it. The depth is
// bounded by the number of braces, the breadth by max_glob_alternatives.
Status GlobCompiler::expand(Text done, Text rest, std::vector<Text>& out) const {
  std::size_t at = 0;
  for (; at < rest.size() && rest[at].value != '{'; ++at) {
    if (rest[at].value == '}') return fault(rest[at].at, "there is no '{' for this '}'; write \\} for the byte itself");
    std::size_t last = at;
    if (rest[at].value == '\\') last = std::min(at + 1, rest.size() - 1);
    if (rest[at].value == '[') last = std::min(end_of_set(rest, at), rest.size() - 1);
    for (; at < last; ++at) done.push_back(rest[at]);
    done.push_back(rest[at]);
  }
  if (at == rest.size()) {
    if (out.size() == max_glob_alternatives) return fault(0, "its braces stand for more than 256 patterns");
    out.push_back(std::move(done));
    return ok();
  }
  const std::size_t open = at;
  std::vector<Text> choices(1);
  std::size_t depth = 0;
  for (++at; at < rest.size(); ++at) {
    const char byte = rest[at].value;
    if (byte == '}' && depth == 0) break;
    if (byte == ',' && depth == 0) {
      choices.emplace_back();
      continue;
    }
    if (byte == '{') ++depth;
    if (byte == '}') --depth;
    std::size_t last = at;
    if (byte == '\\') last = std::min(at + 1, rest.size() - 1);
    if (byte == '[') last = std::min(end_of_set(rest, at), rest.size() - 1);
    for (; at < last; ++at) choices.back().push_back(rest[at]);
    choices.back().push_back(rest[at]);
  }
  if (at >= rest.size()) return fault(rest[open].at, "this '{' is never closed; write \\{ for the byte itself");
  if (choices.size() > max_glob_alternatives) return fault(rest[open].at, "its braces stand for more than 256 patterns");
  for (Text& choice : choices) {
    choice.insert(choice.end(), rest.begin() + static_cast<std::ptrdiff_t>(at) + 1, rest.end());
    CHECK_OK(expand(done, std::move(choice), out));
  }
  return ok();
}

Status GlobCompiler::add(const Text& text) {
  const bool anywhere = text.size() >= 2 && text[0].value == '*' && text[1].value == '*';
  if (!anywhere && (text.empty() || text[0].value != '/')) {
    return fault(text.empty() ? 0 : text[0].at, "patterns begin with '/'; for a name in any directory write **/NAME");
  }
  Glob::Alternative alternative;
  Text component;
  const auto place = [&](std::size_t i) { return i < text.size() ? text[i].at : pattern_.size(); };
  for (std::size_t i = anywhere ? 0 : 1; i <= text.size(); ++i) {
    if (i < text.size() && text[i].value != '/') {
      component.push_back(text[i]);
      if (text[i].value == '\\' && i + 1 < text.size()) component.push_back(text[++i]);
      continue;
    }
    if (component.empty()) return fault(place(i), "there is no name before this '/' or the end");
    CHECK_OK(add_component(alternative, component));
    component.clear();
  }
  finish(alternative);
  glob_.alternatives_.push_back(std::move(alternative));
  return ok();
}

Status GlobCompiler::add_component(Glob::Alternative& alternative, const Text& text) {
  component_first_ = static_cast<std::uint32_t>(glob_.ops_.size());
  if (text.size() == 2 && text[0].value == '*' && text[1].value == '*') {
    const bool twice = !alternative.components.empty() && alternative.components.back().any_number;
    if (!twice) alternative.components.push_back({.first = component_first_, .last = component_first_, .any_number = true});
    return ok();
  }
  for (std::size_t i = 0; i < text.size(); ++i) {
    switch (text[i].value) {
      case '*':
        if (i + 1 < text.size() && text[i + 1].value == '*') return fault(text[i].at, "** stands alone between slashes");
        glob_.ops_.push_back({.kind = Glob::OpKind::star});
        break;
      case '?': glob_.ops_.push_back({.kind = Glob::OpKind::any}); break;
      case '[': {
        TRY(next, add_set(text, i));
        i = next - 1;
        break;
      }
      case '\\':
        if (++i == text.size()) return fault(text[i - 1].at, "nothing follows the \\");
        if (text[i].value == '/') return fault(text[i].at, "a '/' can not be escaped");
        add_literal(text[i].value);
        break;
      default: add_literal(text[i].value);
    }
  }
  const auto last = static_cast<std::uint32_t>(glob_.ops_.size());
  if (last == component_first_ + 1 && glob_.ops_.back().kind == Glob::OpKind::literal) {
    const std::string plain = glob_.bytes_.substr(glob_.ops_.back().index, glob_.ops_.back().length);
    if (plain == "." || plain == "..") return fault(text[0].at, "paths have no '.' and '..' components");
  }
  alternative.components.push_back({.first = component_first_, .last = last});
  return ok();
}

Result<std::size_t> GlobCompiler::add_set(const Text& text, std::size_t open) {
  const std::size_t close = end_of_set(text, open);
  if (close >= text.size()) return fault(text[open].at, "this '[' is never closed in its component; write \\[ for the byte itself");
  std::size_t at = open + 1;
  const bool negated = text[at].value == '!' || text[at].value == '^';
  if (negated) ++at;
  std::bitset<256> set;
  const auto member = [&] {
    if (text[at].value == '\\') ++at;
    return static_cast<unsigned char>(text[at++].value);
  };
  while (at < close) {
    const std::size_t place = at;
    const unsigned first = member();
    unsigned last = first;
    if (at + 1 < close && text[at].value == '-') {
      ++at;
      last = member();
    }
    if (last < first) return fault(text[place].at, "the range goes backwards");
    for (unsigned byte = first; byte <= last; ++byte) set.set(byte);
  }
  if (negated) set.flip();
  set.reset('/');
  if (set.none()) return fault(text[open].at, "no byte can match this set");
  glob_.ops_.push_back({.kind = Glob::OpKind::set, .index = static_cast<std::uint32_t>(glob_.sets_.size())});
  glob_.sets_.push_back(set);
  return close + 1;
}

void GlobCompiler::add_literal(char byte) {
  const bool goes_on = glob_.ops_.size() > component_first_ && glob_.ops_.back().kind == Glob::OpKind::literal;
  if (!goes_on) {
    glob_.ops_.push_back({.kind = Glob::OpKind::literal, .index = static_cast<std::uint32_t>(glob_.bytes_.size())});
  }
  glob_.bytes_.push_back(byte);
  ++glob_.ops_.back().length;
}

// What every match begins and ends with, and the "everything below" form of a "**" at the end.
void GlobCompiler::finish(Glob::Alternative& alternative) {
  std::vector<Glob::Component>& components = alternative.components;
  const auto literal = [&](const Glob::Component& component) {
    return !component.any_number && component.last == component.first + 1 &&
           glob_.ops_[component.first].kind == Glob::OpKind::literal;
  };
  const auto bytes_of = [&](const Glob::Op& op) { return glob_.bytes_.substr(op.index, op.length); };
  alternative.prefix = "/";
  std::size_t i = 0;
  for (; i < components.size() && literal(components[i]); ++i) {
    alternative.prefix += bytes_of(glob_.ops_[components[i].first]);
    if (i + 1 < components.size()) alternative.prefix += '/';
  }
  if (i + 1 == components.size() && components[i].any_number) {
    alternative.everything_below_prefix = true;
    return;
  }
  if (i < components.size() && !components[i].any_number && components[i].last > components[i].first &&
      glob_.ops_[components[i].first].kind == Glob::OpKind::literal) {
    alternative.prefix += bytes_of(glob_.ops_[components[i].first]);
  }
  if (components.back().any_number) {
    const auto first = static_cast<std::uint32_t>(glob_.ops_.size());
    glob_.ops_.push_back({.kind = Glob::OpKind::star});
    components.push_back({.first = first, .last = first + 1});
  }
  const Glob::Component& last = components.back();
  if (last.last > last.first && glob_.ops_[last.last - 1].kind == Glob::OpKind::literal) {
    alternative.suffix = bytes_of(glob_.ops_[last.last - 1]);
  }
}

}  // namespace hearth::policy
