#include "master/store_set.h"

#include "common/log.h"
#include "understore/guard/guarded_store.h"

namespace hearth::master {

bool is_away(Code code) {
  switch (code) {
    case Code::unavailable:
    case Code::deadline_exceeded:
    case Code::overloaded:
    case Code::io_error:
    case Code::cancelled:
    case Code::unauthenticated:
    case Code::internal:
      return true;
    default:
      return false;
  }
}

bool is_store_wide(Code code) {
  return code == Code::unavailable || code == Code::deadline_exceeded || code == Code::unauthenticated;
}

std::shared_ptr<StoreGate> StoreSet::gate_of(const std::string& uri) {
  if (std::shared_ptr<StoreGate> known = gates_[uri].lock()) return known;
  auto made = std::make_shared<StoreGate>(board_, calls_at_once_, uri);
  gates_[uri] = made;
  std::erase_if(gates_, [](const auto& gate) { return gate.second.expired(); });
  return made;
}

Task<std::shared_ptr<UnderStore>> StoreSet::open(std::string uri, StoreOptions options, Deadline deadline) {
  const std::shared_ptr<StoreGate> gate = gate_of(uri);
  CO_TRY(turn, co_await StoreGate::enter(gate, deadline));
  std::function<Result<std::shared_ptr<UnderStore>>()> work = [open = open_, uri, options] { return open(uri, options); };
  CO_TRY(store, co_await pool_.run<std::shared_ptr<UnderStore>>(std::move(work)));
  // A store with a guard bounds its requests itself, and none of them holds a thread of the pool.
  if (dynamic_cast<const GuardedStore*>(store.get()) != nullptr) co_return store;
  co_return behind_gate(std::move(store), gate);
}

Task<std::shared_ptr<UnderStore>> StoreSet::of(AttachmentId attachment, std::string uri, StoreOptions options,
                                               Deadline deadline) {
  const auto found = entries_.find(attachment);
  if (found != entries_.end() && found->second.store) co_return found->second.store;
  Result<std::shared_ptr<UnderStore>> opened = co_await open(uri, std::move(options), deadline);
  if (!opened) {
    // It was there when it was attached: now it can not be asked, whatever the reason.
    co_return Error(Code::unavailable, "cannot open " + uri + ": " + opened.error().message());
  }
  Entry& entry = entries_[attachment];
  if (!entry.store) entry.store = *opened;
  co_return entry.store;
}

StoreCapabilities StoreSet::capabilities(AttachmentId attachment) const {
  const auto found = entries_.find(attachment);
  return found == entries_.end() || !found->second.store ? StoreCapabilities() : found->second.store->capabilities();
}

std::vector<std::pair<AttachmentId, std::shared_ptr<UnderStore>>> StoreSet::opened() const {
  std::vector<std::pair<AttachmentId, std::shared_ptr<UnderStore>>> stores;
  for (const auto& [attachment, entry] : entries_) {
    if (entry.store) stores.emplace_back(attachment, entry.store);
  }
  return stores;
}

void StoreSet::answered(AttachmentId attachment) {
  const auto found = entries_.find(attachment);
  if (found == entries_.end() || found->second.failed_at == TimePoint::min()) return;
  found->second.failed_at = TimePoint::min();
  log_info("under_store_answers_again", {{"attachment", attachment.value}});
}

void StoreSet::did_not_answer(AttachmentId attachment, TimePoint now) {
  Entry& entry = entries_[attachment];
  if (entry.failed_at == TimePoint::min()) log_warn("under_store_does_not_answer", {{"attachment", attachment.value}});
  entry.failed_at = now;
}

bool StoreSet::is_away(AttachmentId attachment) const { return away_since_last_try(attachment) != TimePoint::min(); }

TimePoint StoreSet::away_since_last_try(AttachmentId attachment) const {
  const auto found = entries_.find(attachment);
  return found == entries_.end() ? TimePoint::min() : found->second.failed_at;
}

}  // namespace hearth::master
