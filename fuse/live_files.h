// Files that are open in place: their bytes are those of the under-store's own file, not of a cached version.
//
// Threads: any.
// Owns:    one descriptor per live node, until its last handle is released.
#pragma once

#include "common/clock.h"
#include "common/fd.h"
#include "fuse/node_table.h"
#include "fuse/source.h"

#include <hearth/client.h>
#include <hearth/result.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <unordered_map>

namespace hearth {

// The path that belongs to `place_now`, where `path` belonged to `place`: the directories above that the two have not in common
// stand for each other. Nothing: it lies outside of them.
std::optional<std::string> moved_path(std::string_view path, std::string_view place, std::string_view place_now);

class LiveFile {
 public:
  enum class Access : std::uint8_t { read, write };
  using Publish = decltype(OpenedInPlace::publish);
  LiveFile(UniqueFd fd, Access access, Publish publish = nullptr)
      : publish_(std::move(publish)), fd_(std::make_shared<const UniqueFd>(std::move(fd))), access_(access) {}

  // A copy on this host, that its store sees when it is published.
  bool is_staged() const { return publish_ != nullptr; }
  // While it is held nobody publishes the file: its name may change.
  std::unique_lock<std::mutex> keep_from_publishing() { return std::unique_lock(publishing_); }
  // Of a staged one that was written since the last time; nothing: there is nothing to do. The caller keeps others from it.
  Result<std::optional<FileStatus>> publish(const std::string& path);

  Access access() const;
  // From reading to writing; calls under way end on the descriptor that they began with.
  void replace(UniqueFd fd, Access access);

  // Short only at the end of the file. Errors carry their errno.
  // `quiet`: another descriptor of the file, to read through; null for the file's own.
  Result<std::size_t> read(std::span<std::byte> into, std::uint64_t offset, const UniqueFd* quiet = nullptr) const;
  // Another descriptor of the same file, whatever became of its name; `flags` of open(2).
  Result<UniqueFd> reopen(int flags) const;
  enum class Place : std::uint8_t { at_offset, at_end };
  // All of `bytes`, in the name of `uid`: a write of anybody but root takes set-user-id and set-group-id away.
  Status write(std::span<const std::byte> bytes, std::uint64_t offset, Place place, std::uint32_t uid);
  Status truncate(std::uint64_t length, std::uint32_t uid);
  Status allocate(int mode, std::uint64_t offset, std::uint64_t length, std::uint32_t uid);
  enum class Sync : std::uint8_t { data, all };
  Status sync(Sync what) const;
  Result<std::uint64_t> seek(std::uint64_t offset, int whence) const;  // SEEK_DATA, SEEK_HOLE
  Result<std::size_t> copy_to(LiveFile& other, std::uint64_t from, std::uint64_t to, std::size_t length, std::uint32_t uid);
  // For a staged file, or one that has no name left.
  Status set_attributes(const SetAttributes& set);
  // What the file is now, on top of what was known of it.
  Result<FileStatus> status(FileStatus known) const;

  // The descriptor was just opened under this path.
  void note_path(const std::string& path);
  // Where the file is now, whoever renamed it: the kernel tells where its descriptor leads. Nothing: it was removed, is
  // staged, or nobody can tell.
  std::optional<std::string> path_now() const;

  // Whether anything was written since the last call.
  bool take_written() { return written_.exchange(false, std::memory_order_acq_rel); }
  void mark_written() { written_.store(true, std::memory_order_release); }
  // What the master was told last that the file is.
  void note_announced(FileStatus status);
  std::optional<FileStatus> announced() const;
  // An attribute of the file itself. Fails: not_found (ENODATA).
  Result<std::string> xattr(const std::string& name) const;
  // `use(fd)` while the descriptor is open.
  template <class Use>
  auto with_descriptor(Use use) const {
    const Descriptor fd = descriptor();
    return use(fd->get());
  }

 private:
  using Descriptor = std::shared_ptr<const UniqueFd>;  // shared: calls under way
  Descriptor descriptor() const;
  void drop_privileges(const UniqueFd& fd, std::uint32_t uid) const;

  const Publish publish_;
  std::mutex publishing_;
  mutable std::mutex mutex_;
  // Guarded by mutex_
  Descriptor fd_;
  Access access_;
  std::optional<FileStatus> announced_;
  std::string path_then_;   // where the descriptor was opened, as the namespace and
  std::string place_then_;  // as the kernel has it
  std::atomic<bool> written_{false};
};

// Descriptors that were opened with the lookup of a name that others keep replacing: the open that follows would find
// another file under the name than the node is of, again and again.
//
// Threads: any. Bounds: a few names and descriptors, each for a second.
class OpenedAhead {
 public:
  void note_replaced(const std::string& path, TimePoint now);
  bool is_often_replaced(const std::string& path, TimePoint now);
  void put(NodeId node, OpenedInPlace opened, TimePoint now);
  std::optional<OpenedInPlace> take(NodeId node, TimePoint now);

 private:
  struct Entry {
    OpenedInPlace opened;
    TimePoint until;
  };
  std::mutex mutex_;
  // Guarded by mutex_
  std::unordered_map<std::string, TimePoint> replaced_;
  std::unordered_map<NodeId, Entry> opened_;
};

class LiveFiles {
 public:
  using Handle = std::shared_ptr<LiveFile>;  // shared: handles and calls under way
  Handle find(NodeId node) const;
  // The one that is there already, with at least this access, or a new one of `fd`.
  Handle put(NodeId node, UniqueFd fd, LiveFile::Access access, LiveFile::Publish publish = nullptr);
  // Takes the node out unless `still_needed`, which is asked while nobody can find it.
  template <class Condition>
  bool erase_unless(NodeId node, Condition still_needed) {
    const std::unique_lock lock(mutex_);
    if (still_needed()) return false;
    return files_.erase(node) != 0;
  }

 private:
  mutable std::shared_mutex mutex_;
  std::unordered_map<NodeId, Handle> files_;  // Guarded by mutex_
};

}  // namespace hearth
