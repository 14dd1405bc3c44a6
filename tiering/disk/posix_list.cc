// Listing a disk directory: names in order, so that a continuation needs no state and survives changes in between.
#include "tiering/disk/posix_directory.h"

#include "tiering/disk/disk_name.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>

namespace hearth::disk {
namespace {

struct CloseDirectory {
  void operator()(DIR* open) const { ::closedir(open); }
};
using OpenDirectory = std::unique_ptr<DIR, CloseDirectory>;

OpenDirectory open_directory(int parent, const char* name) {
  UniqueFd fd(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return nullptr;
  OpenDirectory opened(::fdopendir(fd.get()));
  if (opened) static_cast<void>(fd.release());
  return opened;
}

struct Name {
  std::string text;
  unsigned char type = DT_UNKNOWN;
};

// Names that open() would take, in order; others are foreign and stay unseen.
Result<std::vector<Name>> sorted_names(const PosixDirectory& directory, const std::string& below) {
  const OpenDirectory open = open_directory(directory.fd(), below.empty() ? "." : below.c_str());
  if (!open) return directory.error(errno, "list", below.empty() ? "." : below);
  std::vector<Name> names;
  errno = 0;
  while (const dirent* entry = ::readdir(open.get())) {
    if (check_name(entry->d_name)) names.push_back({.text = entry->d_name, .type = entry->d_type});
    errno = 0;
  }
  if (errno != 0) return directory.error(errno, "list", below.empty() ? "." : below);
  std::sort(names.begin(), names.end(), [](const Name& a, const Name& b) { return a.text < b.text; });
  return names;
}

// Adds `name` when it is a regular file; says whether it is a directory.
bool add_entry(const PosixDirectory& directory, const std::string& name, std::vector<DiskEntry>& to) {
  struct stat found {};
  if (::fstatat(directory.fd(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) return false;  // removed meanwhile
  if (S_ISREG(found.st_mode)) {
    constexpr std::uint64_t stat_block_bytes = 512;  // of st_blocks, whatever the file system's own are
    to.push_back({.name = name,
                  .length_bytes = static_cast<std::uint64_t>(found.st_size),
                  .allocated_bytes = static_cast<std::uint64_t>(found.st_blocks) * stat_block_bytes});
  }
  return S_ISDIR(found.st_mode);
}

}  // namespace

Result<std::vector<DiskEntry>> PosixDirectory::list(const std::string& after, std::size_t limit) const {
  const std::size_t slash = after.find('/');
  const std::string after_top = after.substr(0, slash);
  const std::string after_below = slash == std::string::npos ? "" : after.substr(slash + 1);
  TRY(tops, sorted_names(*this, ""));
  std::vector<DiskEntry> found;
  for (const Name& top : tops) {
    if (found.size() >= limit) break;
    if (top.text < after_top) continue;
    const bool resumed = top.text == after_top;
    if (resumed && after_below.empty()) continue;  // it was a file, listed before
    const bool is_directory = top.type == DT_DIR || add_entry(*this, top.text, found);
    if (!is_directory) continue;
    auto below = sorted_names(*this, top.text);
    if (!below && below.code() == Code::not_found) continue;
    if (!below) return std::move(below).error();
    for (const Name& each : *below) {
      if (found.size() >= limit) break;
      if (resumed && each.text <= after_below) continue;
      add_entry(*this, top.text + "/" + each.text, found);
    }
  }
  return found;
}

}  // namespace hearth::disk
