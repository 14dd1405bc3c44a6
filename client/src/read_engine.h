// Reads what is not mapped: cut into requests, each served by the best worker that can, else by the under-store.
//
// Threads: confined to the io thread.
// Order:   candidates of Peers, each for at most attempt_deadline; then the under-store itself; then suspects; then
//          again after a pause, until the deadline.
// Bounds:  requests of at most 8 MiB, 4 of one read at a time, 256 MiB on their way in all.
// Fails:   stale at once and from nobody else; permission_denied and what else is final; at the deadline, the last error.
#pragma once

#include "client/src/counters.h"
#include "client/src/file_impl.h"
#include "client/src/grant_keeper.h"
#include "client/src/packed_places.h"
#include "client/src/peers.h"
#include "client/src/resolver.h"
#include "client/src/signal.h"
#include "client/src/store_reader.h"
#include "common/task_group.h"

#include <memory>
#include <span>

namespace hearth::proto {
class PackedPlace;
}

namespace hearth::client {

using FilePtr = std::shared_ptr<FileImpl>;  // shared: reads in flight outlive the handle

class ReadEngine {
 public:
  struct Parts {
    const ClientOptions& options;
    Clock& clock;
    TaskGroup& group;
    MasterLink& master;
    Peers& peers;
    Resolver& resolver;
    StoreReader& stores;
    GrantKeeper& keeper;
    PackedPlaces& packed;
    Counters& counters;
  };
  explicit ReadEngine(Parts parts);
  const Parts& parts() const { return parts_; }

  // Fills `into` whole from `offset`, over the readahead when the reads of the file are sequential.
  Task<> read(FilePtr file, std::span<std::byte> into, std::uint64_t offset, Deadline deadline);
  // The same past the readahead, for reads that no stream is made of.
  Task<> read_plain(FilePtr file, std::span<std::byte> into, std::uint64_t offset, Deadline deadline);
  // Fetches ahead of a reader at `position`; returns at once.
  void read_ahead(FilePtr file, std::uint64_t position);
  // Of a block in filling whose grant the file has: puts the pages from `offset` on, of at most `length` bytes, where the
  // grant shows them. On failure the bytes are to be read in another way.
  Task<> fill(FilePtr file, std::uint64_t offset, std::uint64_t length, Deadline deadline);
  // The same ahead of a sequential reader at `position`; returns at once.
  void fill_ahead(FilePtr file, std::uint64_t position);
  // Asks workers to cache [offset, offset + length); the bytes that they then have.
  Task<std::uint64_t> load(FilePtr file, std::uint64_t offset, std::uint64_t length);
  // What the workers hold of the file; see File::resident_bytes.
  Task<std::uint64_t> resident_bytes(FilePtr file);
  // A read of the block failed at the worker: passes over it for a while, when it is the worker itself that is in trouble.
  void worker_failed(const FilePtr& file, std::size_t block, WorkerId worker, const Error& error);
  // Tells the worker that granted the block that bytes of it are wrong.
  void report_corrupt(FilePtr file, std::size_t block, std::uint64_t block_offset, WorkerId worker);
  // A worker of this host said where the block lies: later reads go there, over a segment that is granted once.
  void learn_place(const BlockRef& block, const proto::PackedPlace& told, const Reach& worker);

 private:
  struct Segment {
    std::size_t block = 0;
    std::uint64_t block_offset = 0;
    std::span<std::byte> into;
  };
  struct Lanes;
  enum class Outcome : std::uint8_t { served, final, elsewhere };

  std::vector<Segment> cut(const FileImpl& file, std::span<std::byte> into, std::uint64_t offset) const;
  Task<> run_lane(FilePtr file, std::shared_ptr<Lanes> lanes, Deadline deadline);
  Task<> read_segment(FilePtr file, Segment segment, Deadline deadline);
  Task<> read_segment_within_budget(FilePtr file, Segment segment, Deadline deadline);
  Task<> try_everyone(FilePtr file, Segment segment, Deadline deadline);
  Task<> try_worker(FilePtr file, Segment segment, WorkerId worker, Deadline deadline);
  Task<> try_store(FilePtr file, Segment segment, Deadline deadline);
  Task<> confirm_stale(FilePtr file, Error seen, Deadline deadline);
  Task<> fetch_chunk(FilePtr file, Readahead::ChunkPtr chunk);
  Task<> fill_pages(FilePtr file, std::size_t block, std::uint64_t begin, std::uint64_t end, Deadline deadline);
  Task<> ask_in_place(FilePtr file, std::size_t block, std::shared_ptr<MappedGrant> grant, std::uint64_t begin, std::uint64_t end,
                      Deadline deadline);
  Task<> fill_chunk(FilePtr file, std::size_t block, std::uint64_t begin, std::uint64_t end);
  Task<> ask_residency(FilePtr file, WorkerId worker, std::size_t first, std::vector<std::uint64_t>* held, Deadline deadline);
  Task<> load_range(FilePtr file, std::size_t block, std::uint64_t offset, std::uint64_t length, std::uint64_t* loaded);
  void refresh_in_background(const FilePtr& file, std::size_t block);
  Task<> refresh_workers();
  Task<> locate(FilePtr file, std::size_t block);
  Task<> report_bad_location(FilePtr file, std::size_t block, WorkerId worker, Error why);
  Task<> send_corrupt_report(FilePtr file, std::size_t block, std::uint64_t block_offset, WorkerId worker);

  Parts parts_;
  ByteBudget budget_;
};

}  // namespace hearth::client
