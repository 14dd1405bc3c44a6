// The blocking half of the local store: one function per job of the pool.
//
// Threads: any; every method blocks.
// Owns:    the confined root and the open files.
// Fails:   as local_store.h says.
#pragma once

#include "common/clock.h"
#include "understore/confined_root.h"
#include "understore/descriptor_cache.h"
#include "understore/local_object.h"

#include <dirent.h>

#include <memory>
#include <string>
#include <vector>

namespace hearth {

inline constexpr std::size_t max_open_files = 256;
inline constexpr std::string_view unfinished_prefix = ".hearth-tmp-";

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using DirectoryStream = std::unique_ptr<DIR, CloseDirectory>;

struct ListedBatch {
  std::vector<LocalObject> entries;
};

class LocalFiles {
 public:
  LocalFiles(ConfinedRoot root, const Clock& clock) : root_(std::move(root)), clock_(clock), open_(max_open_files) {}

  Result<LocalObject> look(const std::string& path) const;
  Status read(const std::string& path, const std::string& version, std::uint64_t offset, std::span<std::byte> into,
              Deadline deadline);
  Result<DirectoryStream> open_directory(const std::string& path) const;
  // At most `limit` more entries; vanished ones are left out.
  Result<ListedBatch> list(DIR* stream, const std::string& path, std::size_t limit) const;
  // Looks again at the entries that were not settled.
  Result<ListedBatch> look_again(DIR* stream, const std::string& path, ListedBatch batch) const;

  Result<LocalObject> write(const std::string& path, const std::string& content) const;
  Status remove(const std::string& path) const;
  Status rename(const std::string& from, const std::string& to) const;
  Result<LocalObject> make_directory(const std::string& path, std::uint32_t mode) const;

  const ConfinedRoot& root() const { return root_; }
  Status check_deadline(const std::string& path, Deadline deadline) const;

 private:
  struct Place {
    UniqueFd parent;
    std::string name;
  };
  Result<Place> place_of(const std::string& path) const;
  Result<DescriptorCache::Descriptor> open_for_reading(const std::string& path, const std::string& version);
  Status read_from(int fd, const std::string& path, const std::string& version, std::uint64_t offset,
                   std::span<std::byte> into, Deadline deadline) const;

  // Set once.
  const ConfinedRoot root_;
  const Clock& clock_;
  // Locks by itself.
  DescriptorCache open_;
};

}  // namespace hearth
