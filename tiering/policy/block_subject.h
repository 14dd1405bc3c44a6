// A block, or one page of it, as what a policy is asked about.
//
// Threads: pure.
#pragma once

#include "common/block.h"
#include "tiering/policy/policy.h"

#include <optional>
#include <string_view>

namespace hearth::policy {

constexpr Pattern pattern_of(AccessPattern seen) {
  switch (seen) {
    case AccessPattern::sequential: return Pattern::sequential;
    case AccessPattern::random: return Pattern::random;
    case AccessPattern::whole_file: return Pattern::whole_file;
    case AccessPattern::unknown: break;
  }
  return Pattern::any;
}

// Without a page the question is about the file. `path` is the one in the namespace; it and the block must outlive the answer.
inline Subject subject_of(std::string_view path, const BlockRef& block, std::optional<PageIndex> page) {
  Subject subject{.path = path, .length_bytes = block.file_length_bytes(), .uid = block.file.uid,
                  .tenant = block.file.tenant, .pattern = pattern_of(block.file.pattern)};
  if (page) {
    const std::uint64_t begin = block.start.value + std::uint64_t{page->value} * block.page_size_bytes;
    subject.range = Subject::Range{begin, block.page_length_bytes(*page)};
  }
  return subject;
}

}  // namespace hearth::policy
