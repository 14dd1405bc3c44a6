#include "tiering/policy/glob.h"

#include "tiering/policy/glob_compiler.h"

namespace hearth::policy {
namespace {

constexpr std::size_t no = std::string_view::npos;

}  // namespace

Result<Glob> Glob::compile(std::string_view pattern) { return GlobCompiler(pattern).compile(); }

bool Glob::matches(std::string_view path) const {
  for (const Alternative& alternative : alternatives_) {
    if (matches(alternative, path)) return true;
  }
  return false;
}

// One level of backtracking is enough: what stands between two "**" takes a fixed number of components, so the first
// place where it fits leaves the most for the rest.
bool Glob::matches(const Alternative& alternative, std::string_view path) const {
  if (!path.starts_with(alternative.prefix) || !path.ends_with(alternative.suffix)) return false;
  if (alternative.everything_below_prefix) return path.size() > alternative.prefix.size();
  const std::vector<Component>& components = alternative.components;
  const std::size_t end = path.size() + 1;             // where a component after the last would begin
  std::size_t at = path.size() <= 1 ? end : 1;         // where the next component begins
  std::size_t index = 0;
  std::size_t retry_index = no;
  std::size_t retry_at = 0;
  for (;;) {
    if (index < components.size() && components[index].any_number) {
      retry_index = index++;
      retry_at = at;
      continue;
    }
    if (index == components.size() && at == end) return true;
    if (index < components.size() && at < end) {
      const std::size_t slash = path.find('/', at);
      const std::size_t stop = slash == no ? path.size() : slash;
      if (matches(components[index], path.substr(at, stop - at))) {
        ++index;
        at = stop + 1;
        continue;
      }
    }
    if (retry_index == no || retry_at >= end) return false;
    const std::size_t slash = path.find('/', retry_at);
    retry_at = slash == no ? end : slash + 1;
    at = retry_at;
    index = retry_index + 1;
  }
}

bool Glob::matches(const Component& component, std::string_view name) const {
  std::size_t op = component.first;
  std::size_t at = 0;
  std::size_t retry_op = no;
  std::size_t retry_at = 0;
  for (;;) {
    if (op < component.last) {
      if (ops_[op].kind == OpKind::star) {
        retry_op = op++;
        retry_at = at;
        continue;
      }
      const std::size_t length = taken(ops_[op], name.substr(at));
      if (length != no) {
        at += length;
        ++op;
        continue;
      }
    } else if (at == name.size()) {
      return true;
    }
    if (retry_op == no || retry_at >= name.size()) return false;
    at = ++retry_at;
    op = retry_op + 1;
  }
}

// How many bytes at the beginning of `rest` the op takes; `no` when it does not match.
std::size_t Glob::taken(const Op& op, std::string_view rest) const {
  switch (op.kind) {
    case OpKind::literal:
      return rest.starts_with(std::string_view(bytes_).substr(op.index, op.length)) ? op.length : no;
    case OpKind::any: return rest.empty() ? no : 1;
    case OpKind::set: return !rest.empty() && sets_[op.index].test(static_cast<unsigned char>(rest.front())) ? 1 : no;
    case OpKind::star: return 0;  // the caller's
  }
  return no;
}

bool Glob::covers(const Glob& other) const {
  if (text_ == other.text_) return true;
  for (const Alternative& theirs : other.alternatives_) {
    bool covered = false;
    for (const Alternative& ours : alternatives_) {
      // A prefix that ends in "/" is never a whole match, so what begins with ours is longer than ours.
      covered = covered || (ours.everything_below_prefix && theirs.prefix.starts_with(ours.prefix));
    }
    if (!covered) return false;
  }
  return true;
}

}  // namespace hearth::policy
