// The calls about blocks other than reading them: load, free, report_corrupt, block_status.
//
// Threads: confined to the data thread. Fails: as each call says.
#pragma once

#include "worker/service.h"

#include <deque>
#include <utility>

namespace hearth::worker {

class BlockHandlers {
 public:
  explicit BlockHandlers(Service& service) : service_(service) {}

  // Makes a range resident without sending it. no_space when it does not fit beside what is pinned.
  Task<ServerReply> load(std::shared_ptr<ServerCall> call);
  Task<ServerReply> free_blocks(std::shared_ptr<ServerCall> call);
  // Checks every resident page of the block and drops the wrong ones. A client that reports the same block again
  // within a minute, though it looked right here, is believed: the block goes.
  Task<ServerReply> report_corrupt(std::shared_ptr<ServerCall> call);
  Task<ServerReply> block_status(std::shared_ptr<ServerCall> call);

 private:
  Task<std::uint64_t> drop_wrong_pages(BlockRef block);
  bool insists(const BlockId& block);

  Service& service_;
  std::deque<std::pair<BlockId, TimePoint>> found_right_;  // reported, checked, kept; newest last
};

}  // namespace hearth::worker
