// The under-stores of the attachments, opened when first needed, and whether they answer.
//
// Each store, also while it is being opened, answers at most `calls_at_once` questions at a time (store_gate.h); one with
// a guard of its own (understore/guard) as many as that allows.
//
// Threads: confined to the namespace executor; opening runs on the pool.
// Owns:    the stores; shared with the calls in flight.
#pragma once

#include "common/blocking.h"
#include "master/records.h"
#include "master/store_gate.h"
#include "understore/store_factory.h"

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace hearth::master {

// Opens the store behind a URI; may block. invalid_argument names an unknown scheme.
using StoreOpener = std::function<Result<std::shared_ptr<UnderStore>>(const std::string& uri, const StoreOptions& options)>;

// Codes that say nothing about whether the object exists: what was known of it may be served.
bool is_away(Code code);
// Of these, the ones that speak of the store as a whole. One file with a bad sector must not make all others stale.
bool is_store_wide(Code code);

// What is known of the room in one attachment's under-store, for statfs.
struct StoreRoom {
  std::shared_ptr<Flight<>> asking;  // shared with those who wait; null: nobody asks now
  TimePoint asked_at = TimePoint::min();
  enum class Known : std::uint8_t { nothing, limited, without_limit } known = Known::nothing;
  StoreSpace space;
};

class StoreSet {
 public:
  StoreSet(BlockingPool& pool, StoreOpener open, WaitBoard& board, std::size_t calls_at_once)
      : pool_(pool), open_(std::move(open)), board_(board), calls_at_once_(calls_at_once) {}

  Task<std::shared_ptr<UnderStore>> open(std::string uri, StoreOptions options, Deadline deadline);
  // The store of an attachment; opened on first use.
  Task<std::shared_ptr<UnderStore>> of(AttachmentId attachment, std::string uri, StoreOptions options, Deadline deadline);
  void put(AttachmentId attachment, std::shared_ptr<UnderStore> store) { entries_[attachment].store = std::move(store); }
  void forget(AttachmentId attachment) { entries_.erase(attachment); }

  StoreCapabilities capabilities(AttachmentId attachment) const;
  // Those in use.
  std::vector<std::pair<AttachmentId, std::shared_ptr<UnderStore>>> opened() const;
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
  std::shared_ptr<StoreGate> gate_of(const std::string& uri);

  // Set once
  BlockingPool& pool_;
  StoreOpener open_;
  WaitBoard& board_;
  std::size_t calls_at_once_;

  std::map<std::string, std::weak_ptr<StoreGate>> gates_;  // kept alive by their stores and questions
  std::map<AttachmentId, Entry> entries_;
};

}  // namespace hearth::master
