// The blocking half of the local store: one function per job of the pool.
//
// Threads: any; every method blocks.
// Owns:    the confined root, opened again when its place holds another directory, and the open files.
// Fails:   as local_store.h says.
#pragma once

#include "common/clock.h"
#include "understore/confined_root.h"
#include "understore/descriptor_cache.h"
#include "understore/local_object.h"

#include <dirent.h>

#include <memory>
#include <mutex>
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

// Shared: a call keeps the root that it began with although a newer one was opened meanwhile.
using RootHandle = std::shared_ptr<const ConfinedRoot>;

struct OpenDirectory {
  RootHandle root;
  DirectoryStream stream;
};

class LocalFiles {
 public:
  LocalFiles(ConfinedRoot root, const Clock& clock)
      : directory_(root.directory()), clock_(clock), root_(std::make_shared<const ConfinedRoot>(std::move(root))),
        open_(max_open_files) {}

  Result<LocalObject> look(const std::string& path);
  Status read(const std::string& path, const std::string& version, std::uint64_t offset, std::span<std::byte> into,
              Deadline deadline);
  Result<OpenDirectory> open_directory(const std::string& path);
  // At most `limit` more entries; vanished ones are left out.
  Result<ListedBatch> list(const OpenDirectory& open, const std::string& path, std::size_t limit) const;
  // Looks again at the entries that were not settled.
  Result<ListedBatch> look_again(const OpenDirectory& open, const std::string& path, ListedBatch batch) const;

  Result<LocalObject> write(const std::string& path, const std::string& content);
  Status remove(const std::string& path);
  Status rename(const std::string& from, const std::string& to);
  Result<LocalObject> make_directory(const std::string& path, std::uint32_t mode);

  // In the name of `caller`; versions that are not settled carry a nonce.
  Result<ChangeResult> change(const Change& change, const Caller& caller);
  Result<StoreFile> open_for_writing(const OpenForWriting& open, const Caller& caller);
  Result<std::string> xattr(const std::string& path, const std::string& name, const Caller& caller);
  Result<std::vector<std::string>> xattr_names(const std::string& path, const Caller& caller);
  Result<StoreSpace> space();  // of the file system that the root is in

  Status check_deadline(const std::string& path, Deadline deadline) const;

 private:
  struct Place {
    UniqueFd parent;
    std::string name;
  };
  // The root as last opened; its place was not looked at.
  RootHandle held_root() const;
  // The root that is in its place now; unavailable when there is none.
  Result<RootHandle> present_root();
  Result<Place> place_of(const ConfinedRoot& root, const std::string& path) const;
  Result<DescriptorCache::Descriptor> open_beneath(const ConfinedRoot& root, const std::string& path,
                                                   const std::string& version) const;
  Result<DescriptorCache::Descriptor> open_for_reading(const std::string& path, const std::string& version);
  Status read_from(const OpenFile& file, const std::string& path, const std::string& version, std::uint64_t offset,
                   std::span<std::byte> into, Deadline deadline) const;

  // Set once.
  const std::string directory_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  RootHandle root_;
  // Locks by itself.
  DescriptorCache open_;
};

}  // namespace hearth
