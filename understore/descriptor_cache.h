// Files that were read lately stay open: a page read then costs no path resolution.
//
// Threads: any.
// Owns:    at most capacity open files, plus those that a read is using; an unused one is closed by
//          the first call after idle_limit. The key is path and version, so a new version opens anew;
//          who uses a descriptor checks its version.
#pragma once

#include "common/clock.h"
#include "understore/open_file.h"

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace hearth {

class DescriptorCache {
 public:
  // Shared: a read keeps its descriptor although the cache dropped it.
  using Descriptor = std::shared_ptr<const OpenFile>;
  static constexpr Duration idle_limit = std::chrono::seconds(10);

  explicit DescriptorCache(std::size_t capacity) : capacity_(capacity) {}

  Descriptor find(std::string_view path, std::string_view version, TimePoint now);
  void insert(std::string_view path, std::string_view version, Descriptor descriptor, TimePoint now);
  void erase(std::string_view path, std::string_view version);
  std::size_t size() const;

 private:
  struct Entry {
    std::string key;
    Descriptor descriptor;
    TimePoint last_used;
  };
  using Entries = std::list<Entry>;

  // Closing may block, so what goes is moved to `closing` and closed after the lock.
  void trim(TimePoint now, Entries& closing);

  const std::size_t capacity_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  Entries entries_;  // most recently used first
  std::unordered_map<std::string, Entries::iterator> by_key_;
};

}  // namespace hearth
