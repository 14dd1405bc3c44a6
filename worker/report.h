// What the master still has to be told about the blocks held here, cut into report pages.
//
// A page is repeated, unchanged and under the same sequence number, until the master acknowledged it: a lost answer
// costs a repetition, never a lost change. A full report supersedes every delta before it.
//
// Threads: none of its own; the master link confines it.
// Bounds:  `max_pending` ids; beyond, the deltas are forgotten and a full report is owed instead.
#pragma once

#include "common/ids.h"
#include "tiering/block_store.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace hearth::worker {

struct ReportPage {
  std::uint64_t sequence = 0;
  bool full_begin = false;
  bool full_end = false;
  std::vector<BlockId> added;
  std::vector<BlockId> removed;
};

class PresenceReport {
 public:
  PresenceReport(std::size_t page_ids, std::size_t max_pending) : page_ids_(page_ids), max_pending_(max_pending) {}

  // A new registration: numbering starts again and everything is to be told.
  void restart();
  void owe_full() { full_owed_ = true; }
  bool full_owed() const { return full_owed_; }
  // Everything there is now; deltas and pages before it are void.
  void begin_full(std::vector<BlockId> all);
  // Changes since the last call, net by id.
  void add(const PresenceChanges& changes);
  bool has_news() const;

  // The page to send now: the unacknowledged one, or the next; it may name nothing.
  const ReportPage& page();
  void acknowledged();

 private:
  void give_up_page();
  void fill_full_page(ReportPage& page);
  void fill_delta_page(ReportPage& page);

  // Set once
  std::size_t page_ids_;
  std::size_t max_pending_;

  std::uint64_t sequence_ = 0;  // of the last acknowledged page
  bool full_owed_ = true;
  std::optional<ReportPage> unacknowledged_;
  std::optional<std::vector<BlockId>> full_;  // being told, from the end
  bool full_started_ = false;
  std::unordered_map<BlockId, bool, BlockIdHash> pending_;  // present or not
};

}  // namespace hearth::worker
