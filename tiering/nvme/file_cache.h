// Open files of blocks, a bounded number of them kept open while nobody uses them.
//
// Threads: confined to the disk's executor.
// Owns:    the descriptors. A file that was detached (unlinked) is closed when its last user lets go of it.
// Fails:   as Disk::open.
#pragma once

#include "common/block.h"
#include "common/task_group.h"
#include "tiering/nvme/call_watch.h"
#include "tiering/nvme/device_calls.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

namespace hearth {

// Pages that are being read, each as often as it is. Few at a time: looked through rather than looked up.
class PageReaders {
 public:
  void add(std::uint32_t page) {
    const auto found = find(page);
    if (found == entries_.end()) return entries_.push_back(Entry{page, 1});
    ++found->count;
  }
  void remove(std::uint32_t page) {
    const auto found = find(page);
    if (--found->count > 0) return;
    *found = entries_.back();
    entries_.pop_back();
  }
  bool contains(std::uint32_t page) const {
    return std::any_of(entries_.begin(), entries_.end(), [page](const Entry& entry) { return entry.page == page; });
  }

 private:
  struct Entry {
    std::uint32_t page = 0;
    std::uint32_t count = 0;
  };
  std::vector<Entry>::iterator find(std::uint32_t page) {
    return std::find_if(entries_.begin(), entries_.end(), [page](const Entry& entry) { return entry.page == page; });
  }
  std::vector<Entry> entries_;
};

struct TierFile {
  explicit TierFile(BlockId id, Executor executor) : block(id), opened(std::move(executor)) {}

  const BlockId block;
  std::optional<DiskFileId> direct;
  std::optional<DiskFileId> buffered;   // for the odd end of a file that was cut to its exact length
  std::uint64_t length_bytes = 0;       // of the file, when it is open
  std::uint32_t users = 0;
  bool opening = false;
  bool cutting = false;                 // to its exact length, which length_bytes tells already
  bool detached = false;                // its name is gone, or belongs to another file
  std::uint64_t orphaned_bytes = 0;     // billed until it is closed
  PageReaders readers;
  Signal opened;
  std::list<std::shared_ptr<TierFile>>::iterator idle_place;
  bool idle = false;
};

class FileCache {
 public:
  // `closed` is told of every descriptor that is closed, and of the bytes that are billed no more then.
  FileCache(DeviceCalls& device, TaskGroup& tasks, std::size_t max_open, std::function<void(std::uint64_t orphaned_bytes)> closed)
      : device_(device), tasks_(tasks), max_open_(max_open), closed_(std::move(closed)) {}

  // Keeps the file of a block, open or not, from being closed.
  class Use {
   public:
    Use() = default;
    Use(FileCache* cache, std::shared_ptr<TierFile> file) : cache_(cache), file_(std::move(file)) { ++file_->users; }
    Use(Use&& other) noexcept : cache_(other.cache_), file_(std::move(other.file_)) {}
    Use& operator=(Use&& other) noexcept {
      reset();
      cache_ = other.cache_;
      file_ = std::move(other.file_);
      return *this;
    }
    ~Use() { reset(); }
    void reset() {
      if (file_) cache_->release(std::move(file_));
      file_.reset();
    }
    TierFile* operator->() const { return file_.get(); }
    TierFile& operator*() const { return *file_; }
    const std::shared_ptr<TierFile>& shared() const { return file_; }
    explicit operator bool() const { return file_ != nullptr; }

   private:
    FileCache* cache_ = nullptr;
    std::shared_ptr<TierFile> file_;  // shared: the cache's place for it may go first
  };

  Use use(const BlockId& block);
  // A user holds the file. Only one call to the disk for all who want it open.
  Task<> ensure_open(std::shared_ptr<TierFile> file, DiskOpen how);
  Task<> ensure_buffered(std::shared_ptr<TierFile> file);
  // Whether somebody reads that page now.
  bool has_readers(const BlockId& block, std::uint32_t page) const;
  std::uint32_t users(const BlockId& block) const;
  // The block's name is gone: later uses are of another file. `orphaned_bytes` are billed to it until it is closed;
  // false when it is not even open: then they are free now.
  bool detach(const BlockId& block, std::uint64_t orphaned_bytes);
  // Whether a descriptor of the block is being closed: until then its bytes outlive its name.
  bool is_closing(const BlockId& block) const { return closing_.contains(block); }
  // Closes everything that nobody uses.
  void close_idle();
  std::size_t open_files() const { return open_; }

 private:
  void release(std::shared_ptr<TierFile> file);
  void close(TierFile& file);
  Task<> close_now(DiskFileId file, BlockId block, std::uint64_t orphaned_bytes);

  // Set once.
  DeviceCalls& device_;
  TaskGroup& tasks_;
  const std::size_t max_open_;
  const std::function<void(std::uint64_t)> closed_;
  // The disk's executor only.
  std::unordered_map<BlockId, std::shared_ptr<TierFile>, BlockIdHash> files_;
  std::list<std::shared_ptr<TierFile>> idle_;  // longest first
  std::unordered_map<BlockId, std::uint32_t, BlockIdHash> closing_;
  std::size_t open_ = 0;
};

}  // namespace hearth
