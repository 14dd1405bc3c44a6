// What every store must do whose files are written whole (capabilities().writing is staged): uploads, and changes of names
// with POSIX's errno. A store's test instantiates StagedConformance with the same world as StoreConformance.
//
// Threads: one.
// Owns:    the world, and a local file for each content, made afresh for each test.
#pragma once

#include "understore/conformance.h"

#include <string>
#include <vector>

namespace hearth {

// A file without a name that holds `content`.
UniqueFd staged_file(const std::string& content);
// Bytes that tell their place: no two parts are alike.
std::string content_of_length(std::size_t length_bytes);

class StagedConformance : public StoreConformance {
 protected:
  using Replaces = StagedContent::Replaces;

  Result<ObjectInfo> upload(const std::string& path, const std::string& content, Replaces replaces = Replaces::anything);
  Result<ChangeResult> change(Change what);
  // The errno that it failed with; 0 when it did not.
  int refusal(Change what);
  // What the store has now under each path that a change says it touched is what the change says.
  void expect_true(const Result<ChangeResult>& result);
  // "path", "path/" for a directory, "!path" for what is gone; sorted.
  static std::vector<std::string> paths(const Result<ChangeResult>& result);
};

}  // namespace hearth
