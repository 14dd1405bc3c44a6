#include "fuse/directory_stream.h"

#include <algorithm>
#include <utility>

namespace hearth {
namespace {

// Others could not be opened, and some make the kernel answer EIO for the whole directory.
bool can_be_shown(const std::string& name) {
  constexpr std::size_t longest_name = 255;
  return !name.empty() && name.size() <= longest_name && name != "." && name != ".." &&
         name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
}

}  // namespace

DirectoryStream::DirectoryStream(Source& source, std::string path) : source_(source), path_(std::move(path)) {}

std::size_t DirectoryStream::mark_count() const {
  const std::lock_guard lock(mutex_);
  return marks_.size();
}

void DirectoryStream::remember(std::uint64_t position, const std::string& after) {
  if (!marks_.empty() && marks_.back().position >= position) return;
  if (marks_.size() == max_marks) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < marks_.size(); i += 2) marks_[kept++] = std::move(marks_[i]);
    marks_.resize(kept);
  }
  marks_.push_back({position, after});
}

Status DirectoryStream::fetch(std::uint64_t position, std::string after) {
  TRY(page, source_.list(path_, after, page_entries));
  remember(position, after);
  page_ = std::move(page.items);
  page_start_ = position;
  more_ = page.more && !page_.empty();
  return ok();
}

// Makes the page that holds `position` the current one, or the last page when the directory ends before it.
Status DirectoryStream::seek(std::uint64_t position) {
  // The first read of a handle, and a rewind, see the directory as it is now.
  if (page_start_ == 0 || position == first_name) {
    marks_.clear();
    CHECK_OK(fetch(first_name, ""));
  } else if (position < page_start_) {
    const auto beyond = std::upper_bound(marks_.begin(), marks_.end(), position,
                                         [](std::uint64_t wanted, const Mark& mark) { return wanted < mark.position; });
    const Mark start = *std::prev(beyond);  // the first mark is at first_name
    CHECK_OK(fetch(start.position, start.after));
  }
  while (position >= page_start_ + page_.size() && more_) {
    std::string after = page_.back().name;
    CHECK_OK(fetch(page_start_ + page_.size(), std::move(after)));
  }
  return ok();
}

Status DirectoryStream::read(std::uint64_t position, const Sink& sink) {
  const std::lock_guard lock(mutex_);
  position = std::max(position, first_name);
  while (true) {
    CHECK_OK(seek(position));
    const std::uint64_t end = page_start_ + page_.size();
    if (position >= end) return ok();
    for (; position < end; ++position) {
      const DirectoryItem& item = page_[position - page_start_];
      if (can_be_shown(item.name) && sink(item, position + 1) == Next::stop) return ok();
    }
    if (!more_) return ok();
  }
}

}  // namespace hearth
