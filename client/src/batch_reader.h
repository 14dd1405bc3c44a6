// Many reads at once: small ones go out as one request per worker, the others, and those that fail, as any read does.
//
// Threads: confined to the io thread.
// Bounds:  1,024 ranges of together 1 MiB per request; 4 requests and 16 other reads of one call at a time.
// Fails:   each range on its own, as ReadEngine.
#pragma once

#include "client/src/read_engine.h"

#include <memory>
#include <span>
#include <vector>

namespace hearth::client {

// What is left of one item of Client::read_many() after the caller's thread copied what is mapped.
struct PendingRead {
  FilePtr file;
  std::uint64_t offset = 0;
  std::span<std::byte> into;
  Status outcome = ok();
  bool ended = false;
};
using PendingReads = std::shared_ptr<std::vector<PendingRead>>;  // shared: by the caller and every task of the call

class BatchReader {
 public:
  BatchReader(const ReadEngine::Parts& parts, ReadEngine& engine) : parts_(parts), engine_(engine) {}

  // Ends when no task writes to any `into` any more; the outcomes say how each fared.
  Task<> read(PendingReads reads, Deadline deadline);

 private:
  // Ranges for one worker, by their index in the pending reads.
  struct Request {
    WorkerId worker;
    std::vector<std::size_t> items;
    std::uint64_t payload_bytes = 0;
    std::uint64_t body_bytes = 0;  // about
  };
  struct Progress;
  using Buffer = std::unique_ptr<std::byte[]>;

  void plan(Progress& progress);
  void ask_for_grants(const std::vector<PendingRead>& reads);
  Task<> obtain_grant(FilePtr file, std::size_t block);
  Task<> run_lanes(std::shared_ptr<Progress> progress);
  Task<> lane_of_requests(std::shared_ptr<Progress> progress);
  Task<> lane_of_others(std::shared_ptr<Progress> progress);
  void leave(Progress& progress);
  Task<> ask(std::shared_ptr<Progress> progress, std::size_t index);
  Task<> ask_worker(std::shared_ptr<Progress> progress, const Request* request, Buffer* buffer);
  Buffer take_buffer();

  ReadEngine::Parts parts_;
  ReadEngine& engine_;
  std::vector<Buffer> spare_;  // fresh memory costs a page fault per 4 KiB, more than receiving it
};

}  // namespace hearth::client
