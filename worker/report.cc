#include "worker/report.h"

#include <utility>

namespace hearth::worker {

void PresenceReport::restart() {
  sequence_ = 0;
  unacknowledged_.reset();
  full_.reset();
  pending_.clear();
  full_owed_ = true;
}

void PresenceReport::begin_full(std::vector<BlockId> all) {
  give_up_page();
  pending_.clear();
  full_ = std::move(all);
  full_started_ = false;
  full_owed_ = false;
}

void PresenceReport::add(const PresenceChanges& changes) {
  if (full_owed_) return;  // the full report will be taken after these
  for (const BlockId& id : changes.removed) pending_[id] = false;
  for (const BlockId& id : changes.added) pending_[id] = true;
  if (pending_.size() > max_pending_) {
    pending_.clear();
    full_.reset();
    give_up_page();
    full_owed_ = true;
  }
}

// Its number is spent: the master may have seen it, and would take another page under it for a repetition.
void PresenceReport::give_up_page() {
  if (unacknowledged_) sequence_ = unacknowledged_->sequence;
  unacknowledged_.reset();
}

bool PresenceReport::has_news() const {
  return full_owed_ || full_.has_value() || unacknowledged_.has_value() || !pending_.empty();
}

const ReportPage& PresenceReport::page() {
  if (!unacknowledged_) {
    ReportPage next;
    next.sequence = sequence_ + 1;
    if (full_) {
      fill_full_page(next);
    } else {
      fill_delta_page(next);
    }
    unacknowledged_ = std::move(next);
  }
  return *unacknowledged_;
}

void PresenceReport::fill_full_page(ReportPage& page) {
  page.full_begin = !std::exchange(full_started_, true);
  while (!full_->empty() && page.added.size() < page_ids_) {
    page.added.push_back(full_->back());
    full_->pop_back();
  }
  page.full_end = full_->empty();
  if (page.full_end) full_.reset();
}

void PresenceReport::fill_delta_page(ReportPage& page) {
  for (auto next = pending_.begin(); next != pending_.end() && page.added.size() + page.removed.size() < page_ids_;) {
    (next->second ? page.added : page.removed).push_back(next->first);
    next = pending_.erase(next);
  }
}

void PresenceReport::acknowledged() {
  if (!unacknowledged_) return;
  sequence_ = unacknowledged_->sequence;
  unacknowledged_.reset();
}

}  // namespace hearth::worker
