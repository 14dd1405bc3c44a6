// An open file: one version, its blocks, and what is known about reading each of them.
//
// Threads: any, but holders and the readahead's fetching, which are confined to the io thread.
// Owns:    the control objects of every grant it ever read from, until it is closed: a reader that loaded the pointer
//          may still be about to pin it. Their mappings go when they are retired, not when the file is closed.
// Warm:    read_mapped() neither locks, allocates nor calls the kernel.
#pragma once

#include <hearth/client.h>

#include "client/src/convert.h"
#include "client/src/grant_keeper.h"
#include "client/src/mapped_grant.h"
#include "client/src/packed_places.h"
#include "client/src/readahead.h"
#include "client/src/signal.h"
#include "common/async.h"

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

namespace hearth {

class FileImpl : public std::enable_shared_from_this<FileImpl> {
 public:
  FileImpl(std::shared_ptr<ClientImpl> client, std::string path, client::ResolutionPtr resolution);
  ~FileImpl();

  const std::string& path() const { return path_; }
  const FileStatus& status() const { return resolution_->status; }
  const client::Resolution& resolution() const { return *resolution_; }
  ClientImpl& client() const { return *client_; }
  client::Readahead& readahead() { return *readahead_; }
  const std::shared_ptr<client::Readahead>& shared_readahead() const { return readahead_; }

  Result<std::size_t> pread(std::span<std::byte> into, std::uint64_t offset);
  Task<std::size_t> pread_task(std::span<std::byte> into, std::uint64_t offset);  // on the io thread
  Result<ReadView> read_view(std::uint64_t offset, std::size_t length);
  Result<MappedBlock> map();

  // How much of a read at `offset` there is before the end of the file.
  std::size_t clip(std::size_t wanted, std::uint64_t offset) const;
  std::size_t block_index(std::uint64_t offset) const {
    return static_cast<std::size_t>(offset / resolution_->blocks[0].length_bytes);
  }
  // Copies what lies in mapped blocks, from the front, up to the first byte that does not; bytes copied.
  std::size_t read_mapped(std::span<std::byte> into, std::uint64_t offset);

  // Grants, by block.
  bool wants_grant(std::size_t block) const;           // worth asking for now
  // The grant is of a block in filling: a read may have to put bytes there first.
  bool is_in_filling(std::size_t block) const;
  std::shared_ptr<client::MappedGrant> grant_in_filling(std::size_t block);
  bool has_grant(std::size_t block) const { return blocks_[block].grant.load(std::memory_order_acquire) != nullptr; }
  void use_grant(std::size_t block, std::shared_ptr<client::MappedGrant> grant);
  bool use_cached_grant(std::size_t block, client::GrantOf what = client::GrantOf::block_in_filling);  // of the client's cache
  // The grant is of no use any more: reads go another way, and another one is asked for in a second.
  void give_up(client::MappedGrant& grant, std::size_t block);
  void ask_grant_again(std::size_t block, TimePoint when);
  void grant_may_be_possible(std::size_t block, TimePoint when);  // not later than that

  // Io thread only: workers said to hold the block, and when that was heard.
  struct Holders {
    std::vector<WorkerId> workers;
    TimePoint heard{};
  };
  Holders& holders(std::size_t block) { return blocks_[block].holders; }
  // Io thread only: what of a block in filling was asked for. Offsets in the block.
  struct Filling {
    struct OnItsWay {
      std::uint64_t end = 0;
      std::shared_ptr<client::Signal> landed;  // shared: whoever waits keeps it
    };
    std::map<std::uint64_t, OnItsWay> on_their_way;  // by begin; they do not overlap
    std::uint64_t asked_until = 0;                   // ahead of its reader
    unsigned running_ahead = 0;
  };
  Filling& filling(std::size_t block) { return blocks_[block].filling; }

 private:
  struct Block {
    std::atomic<client::MappedGrant*> grant{nullptr};
    std::atomic<std::int64_t> next_grant_try_ns{0};
    Holders holders;
    Filling filling;
  };
  // Bytes copied, from the front; fewer when the rest is not there yet or the grant is gone.
  std::size_t copy_from(client::MappedGrant& grant, Block& block, std::size_t index, std::uint64_t block_offset,
                        std::span<std::byte> into);
  // Where the range of a packed block lies, pinned; tells the worker of wrong bytes there.
  client::PackedPlaces::Found find_packed(std::size_t index, std::uint64_t block_offset, std::uint64_t length);
  // Bytes of a packed block; fewer than asked for when it is not known where they lie.
  std::size_t copy_packed(std::size_t index, std::uint64_t block_offset, std::span<std::byte> into);
  // Tells the io thread of a sequential reader's progress through a block in filling.
  void keep_filling(std::uint64_t offset, std::size_t length);
  std::shared_ptr<client::MappedGrant> held_grant(std::size_t index);
  // Drops a grant whose byte `wrong` of the block does not match its checksum, and tells the worker.
  void found_corrupt(client::MappedGrant& grant, std::size_t index, std::uint64_t wrong);

  // Set once
  const std::shared_ptr<ClientImpl> client_;  // shared: files keep their client alive
  const std::string path_;
  const client::ResolutionPtr resolution_;
  const std::shared_ptr<client::Readahead> readahead_;  // shared: fetches in flight outlive the file

  std::vector<Block> blocks_;
  std::atomic<std::uint64_t> told_position_{0};        // where the io thread believes a sequential reader to be
  std::mutex grants_mutex_;
  std::vector<std::shared_ptr<client::MappedGrant>> grants_;  // Guarded by grants_mutex_; shared with the cache
};

}  // namespace hearth
