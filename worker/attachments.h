// The attachments as the master last told them, and their under-stores, opened on first use.
//
// Threads: confined to the data thread; opening a store happens on the blocking pool.
// Owns:    the open stores. A removed or changed attachment lets go of its store; fetches under way keep it
//          until they end.
// Fails:   not_found (the master does not have that attachment), invalid_argument (a block that is not this
//          attachment's), whatever opening the store says.
#pragma once

#include "common/async.h"
#include "common/block.h"
#include "common/blocking.h"
#include "understore/store_factory.h"
#include "understore/under_store.h"
#include "worker/wait.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace hearth::worker {

using StoreOpener = std::function<Result<std::shared_ptr<UnderStore>>(const std::string& uri, const StoreOptions& options)>;

inline constexpr std::uint32_t max_pages_per_read = 64;

// An under-store in use, with its own bound on reads at once: one hung store must not take the others' turns.
struct OpenStore {
  OpenStore(std::shared_ptr<UnderStore> opened, Executor executor, std::uint64_t at_once, std::size_t max_waiting)
      : store(std::move(opened)), reads(std::move(executor), at_once, max_waiting) {}
  std::shared_ptr<UnderStore> store;  // shared: fetches outlive a changed attachment
  Admission reads;
};

struct AttachedStore {
  AttachmentId id;
  std::string uri;
  std::string path;  // where it is attached in the namespace
  std::uint64_t block_size_bytes = default_block_size_bytes;
  std::uint32_t page_size_bytes = default_page_size_bytes;
  enum class Placement : std::uint8_t { at_reader, by_hash } placement = Placement::at_reader;
  StoreOptions options;
  enum class Writing : std::uint8_t { refused, allowed } writing = Writing::refused;
  bool operator==(const AttachedStore&) const = default;
};

struct AttachmentLimits {
  std::uint32_t reads_at_once = 16;
  std::size_t max_waiting = 4096;
};

class WorkerAttachments {
 public:
  WorkerAttachments(Executor executor, BlockingPool& pool, StoreOpener opener, AttachmentLimits limits);

  void replace(std::vector<AttachedStore> attachments, std::uint64_t version);
  std::uint64_t version() const { return version_; }
  bool knows(AttachmentId id) const { return entries_.contains(id); }

  // Whether the block is one that this attachment's options and URI would name: its id is a hash of what it holds,
  // so a request cannot put one file's bytes under another's id.
  Status check(const BlockRef& block) const;
  // The absolute path of the block's file in the namespace; "" for an attachment that is not known.
  std::string path_of(const BlockRef& block) const;
  // The attachment that an absolute path of the namespace lies in, and the path in its store; nothing where there is none.
  struct Place {
    AttachedStore attachment;
    std::string store_path;
  };
  std::optional<Place> place_of(const std::string& path) const;
  // Whether an attachment lies below `path`, so that it is a directory whatever its store has there.
  bool leads_to_another(const std::string& path) const;
  // The block of the same file that holds the byte at `offset`; nothing where `block` is not this attachment's, or its file
  // ends before.
  std::optional<BlockRef> block_at(const BlockRef& block, std::uint64_t offset) const;
  // Blocks belong to the worker on the host of who reads them, where there is one.
  bool places_at_reader(AttachmentId id) const;
  // How many more reads its store would start at once.
  std::uint64_t idle_reads(AttachmentId id) const;
  // Pages that one request to its store should bring; 1 while the store is not open.
  std::uint32_t pages_per_read(AttachmentId id) const;
  // One opening at a time; a failure is not remembered.
  Task<std::shared_ptr<OpenStore>> open(AttachmentId id);
  void close();

 private:
  struct Entry {
    AttachedStore what;
    std::shared_ptr<OpenStore> store;     // null until first used
    std::shared_ptr<Event> opening;       // set when the opening under way ended
    Error why_not;                        // of the last opening
  };
  Error unknown(AttachmentId id) const;
  // The store, as the block's id names it; nothing where it is another one's.
  static std::optional<std::string> named_store(const Entry& entry, const BlockRef& block);
  static std::uint32_t pages_per_read(const UnderStore& store, std::uint32_t page_size_bytes);

  // Set once
  Executor executor_;
  BlockingPool& pool_;
  StoreOpener opener_;
  AttachmentLimits limits_;

  // Data thread only
  std::unordered_map<AttachmentId, std::shared_ptr<Entry>> entries_;  // shared with openings under way
  std::uint64_t version_ = 0;
  bool closed_ = false;
};

}  // namespace hearth::worker
