// One open directory: its entries in order, fetched page by page.
//
// Positions count entries from the start: 0 is ".", 1 is "..", 2 the first name. A position stays
// valid while the handle is open: the stream remembers after which name each page began, and
// goes back by listing from there. Memory: one page of entries, and at most 1,024 such marks
// (thinned out by half when full, then going back lists a few pages more).
//
// Threads: any; one mutex, held while a page is fetched (the kernel reads a handle one call at a time).
#pragma once

#include "fuse/source.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

namespace hearth {

class DirectoryStream {
 public:
  static constexpr std::size_t page_entries = 1000;
  static constexpr std::size_t max_marks = 1024;
  static constexpr std::uint64_t first_name = 2;

  enum class Next : std::uint8_t { go_on, stop };
  // Takes one entry and the position behind it; `stop` leaves the entry for the next call.
  using Sink = std::function<Next(const DirectoryItem& item, std::uint64_t behind)>;

  DirectoryStream(Source& source, std::string path);

  // Gives the names from `position` (at least first_name) on to `sink`, until it stops or the end.
  Status read(std::uint64_t position, const Sink& sink);
  const std::string& path() const { return path_; }
  std::size_t mark_count() const;

 private:
  struct Mark {
    std::uint64_t position;  // of the first entry of a page
    std::string after;       // the name before it
  };

  Status seek(std::uint64_t position);
  Status fetch(std::uint64_t position, std::string after);
  void remember(std::uint64_t position, const std::string& after);

  Source& source_;
  const std::string path_;
  mutable std::mutex mutex_;
  // Guarded by mutex_
  std::vector<Mark> marks_;  // ascending
  std::vector<DirectoryItem> page_;
  std::uint64_t page_start_ = 0;  // 0: nothing fetched yet
  bool more_ = true;
};

}  // namespace hearth
