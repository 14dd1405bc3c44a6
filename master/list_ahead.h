// Notices who opens one file of a directory after the other: where an answer about one name costs the store a request and
// a page of a listing brings a thousand for the price of a few, listing the directory once is cheaper.
//
// Threads: none of its own; confined to the namespace executor.
// Bounds:  max_directories are watched, the one asked about longest ago is forgotten first.
#pragma once

#include "common/clock.h"
#include "common/ids.h"

#include <algorithm>
#include <cstddef>
#include <unordered_map>

namespace hearth::master {

class ListAhead {
 public:
  static constexpr std::size_t questions = 16;            // within the attachment's metadata_ttl
  static constexpr std::uint64_t max_entries = 16'384;    // of a directory that nobody asked to list: 17 pages of S3
  static constexpr Duration pause = std::chrono::minutes(10);  // after a listing that was broken off
  static constexpr std::size_t max_directories = 256;

  // The store is asked about one name of `directory`, and what it says will be current for `ttl`. Is a listing worth it?
  bool asked(InodeId directory, TimePoint now, Duration ttl) {
    if (ttl <= Duration::zero()) return false;
    Watched& watched = of(directory, now);
    if (now - watched.since > ttl) watched = {.since = now, .not_before = watched.not_before};
    watched.last = now;
    watched.count += 1;
    if (watched.count < questions || now < watched.not_before) return false;
    watched.count = 0;
    return true;
  }
  void broken_off(InodeId directory, TimePoint now) { of(directory, now).not_before = now + pause; }

 private:
  struct Watched {
    TimePoint since;
    TimePoint last;
    TimePoint not_before;
    std::size_t count = 0;
  };

  Watched& of(InodeId directory, TimePoint now) {
    const auto found = watched_.find(directory);
    if (found != watched_.end()) return found->second;
    if (watched_.size() >= max_directories) {
      const auto older = [](const auto& a, const auto& b) { return a.second.last < b.second.last; };
      watched_.erase(std::min_element(watched_.begin(), watched_.end(), older));
    }
    return watched_.emplace(directory, Watched{.since = now, .last = now, .not_before = TimePoint::min()}).first->second;
  }

  std::unordered_map<InodeId, Watched> watched_;
};

}  // namespace hearth::master
