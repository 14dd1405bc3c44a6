// The under-stores of the attachments, opened when first needed, and whether they answer.
//
// Threads: confined to the namespace executor; opening runs on the pool.
// Owns:    the stores; shared with the calls in flight.
#pragma once

#include "common/blocking.h"
#include "master/records.h"
#include "understore/under_store.h"

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace hearth::master {

// Opens the store behind a URI; may block. invalid_argument names an unknown scheme.
using StoreOpener = std::function<Result<std::shared_ptr<UnderStore>>(const std::string& uri)>;

// Codes that say nothing about whether the object exists: what was known of it may be served.
bool is_away(Code code);
// Of these, the ones that speak of the store as a whole. One file with a bad sector must not make all others stale.
bool is_store_wide(Code code);

class StoreSet {
 public:
  StoreSet(BlockingPool& pool, StoreOpener open) : pool_(pool), open_(std::move(open)) {}

  Task<std::shared_ptr<UnderStore>> open(std::string uri);
  // The store of an attachment; opened on first use.
  Task<std::shared_ptr<UnderStore>> of(AttachmentId attachment, std::string uri);
  void put(AttachmentId attachment, std::shared_ptr<UnderStore> store) { entries_[attachment].store = std::move(store); }
  void forget(AttachmentId attachment) { entries_.erase(attachment); }

  StoreCapabilities capabilities(AttachmentId attachment) const;
  // What the last answer of the store was.
  void answered(AttachmentId attachment);
  void did_not_answer(AttachmentId attachment, TimePoint now);
  bool is_away(AttachmentId attachment) const;
  // When it last did not answer; TimePoint::min() when it did.
  TimePoint away_since_last_try(AttachmentId attachment) const;

 private:
  struct Entry {
    std::shared_ptr<UnderStore> store;
    TimePoint failed_at = TimePoint::min();
  };
  BlockingPool& pool_;
  StoreOpener open_;
  std::map<AttachmentId, Entry> entries_;
};

}  // namespace hearth::master
