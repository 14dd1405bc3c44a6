#include "tiering/policy/body.h"
#include "tiering/policy/draft.h"

#include <algorithm>
#include <tuple>

namespace hearth::policy {
namespace {

bool is_error(const Diagnostic& diagnostic) { return diagnostic.severity == Diagnostic::Severity::error; }

// What is wrong with a line that could not be read follows from that: only the first fault is worth saying.
void add_unexplained(Diagnostics& faults, Diagnostics later) {
  const std::size_t known = faults.size();
  for (Diagnostic& one : later) {
    const auto same_line = [&](const Diagnostic& fault) { return fault.line == one.line; };
    if (std::none_of(faults.begin(), faults.begin() + static_cast<std::ptrdiff_t>(known), same_line)) faults.push_back(std::move(one));
  }
}

}  // namespace

std::string to_string(const Diagnostic& diagnostic, std::string_view name) {
  return std::string(name) + ":" + std::to_string(diagnostic.line) + ":" + std::to_string(diagnostic.column) +
         (is_error(diagnostic) ? ": error: " : ": warning: ") + diagnostic.reason;
}

Checked check_policy(std::string_view text) {
  Checked checked;
  const Draft draft = read_draft(text, checked.diagnostics);
  Diagnostics later;
  std::shared_ptr<const Policy::Body> body = compile(draft, later);
  add_unexplained(checked.diagnostics, std::move(later));
  if (std::none_of(checked.diagnostics.begin(), checked.diagnostics.end(), is_error)) {
    find_doubtful(draft, *body, checked.diagnostics);
    checked.policy.emplace(std::move(body));
  }
  std::stable_sort(checked.diagnostics.begin(), checked.diagnostics.end(), [](const Diagnostic& a, const Diagnostic& b) {
    return std::tie(a.line, a.column) < std::tie(b.line, b.column);
  });
  return checked;
}

Result<Policy> parse_policy(std::string_view text, std::string_view name) {
  Checked checked = check_policy(text);
  if (checked.policy) return std::move(*checked.policy);
  std::string message;
  for (const Diagnostic& diagnostic : checked.diagnostics) {
    if (!message.empty()) message += "\n";
    message += to_string(diagnostic, name);
  }
  return Error(Code::invalid_argument, message);
}

}  // namespace hearth::policy
