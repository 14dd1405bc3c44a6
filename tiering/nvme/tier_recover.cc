// After a restart: the index is read and believed until a page's bytes say otherwise. Files and records are compared later, in
// the background: a file without records is removed, bytes without a record are punched out, records without a file are dropped.
#include "tiering/nvme/disk_tier_impl.h"

#include "common/log.h"
#include "common/rng.h"
#include "tiering/nvme/sector_sums.h"

#include <algorithm>
#include <utility>

namespace hearth {
namespace {

constexpr std::size_t files_per_list = 512;

bool sensible(const BlockShape& shape, std::uint32_t page, std::uint32_t max_page_bytes) {
  return shape.page_size_bytes >= sector_bytes && shape.page_size_bytes % sector_bytes == 0 && shape.page_size_bytes <= max_page_bytes &&
         shape.length_bytes > 0 && shape.length_bytes <= max_block_size_bytes && page < shape.page_count();
}

}  // namespace

Task<> DiskTierImpl::recover() {
  const TimePoint began = clock_.now();
  DeviceIdentity wanted;
  system_rng().fill(wanted.uuid);
  wanted.cluster_id = options_.cluster_id;
  wanted.worker_id = options_.worker_id;
  wanted.max_page_bytes = options_.max_page_bytes;
  wanted.created_ns = clock_.wall_now().time_since_epoch().count();
  const auto unreadable = options_.if_unreadable == IfUnreadable::rebuild ? IndexFile::Unreadable::start_empty : IndexFile::Unreadable::refuse;
  CO_CHECK_OK(co_await index_.open(wanted, unreadable));
  CO_TRY(clean, co_await index_.take_clean_mark());
  was_clean_ = clean && index_.repaired().empty();
  if (!index_.repaired().empty()) log_warn("cache_index_repaired", {{"tier", options_.name}, {"what", index_.repaired()}});
  std::uint64_t discarded = 0;
  std::uint32_t latest = 0;
  std::function<void(std::uint32_t, const IndexRecord&)> sink = [&](std::uint32_t slot, const IndexRecord& record) {
    const BlockShape shape{record.block, record.block_start, record.block_length, record.page_size_bytes};
    if (!sensible(shape, record.page, options_.max_page_bytes)) return void(++discarded);
    std::optional<BlockSlot> at = pages_.find_block(record.block);
    if (at && (pages_.block(*at).shape() != shape || pages_.find(*at, record.page))) return void(++discarded);
    if (!at) at = pages_.add_block(shape);
    pages_.restore(slot, *at, record.page);
    pages_.page(slot).crc = record.crc;
    pages_.page(slot).last_access = record.last_access;
    if (record.pinned) pages_.block(*at).pinned = 1;
    if (record.at_expiry == 1 || record.at_expiry == 2) {
      const BlockExpiry expiry{WallTime(std::chrono::seconds(record.expires_s)), static_cast<BlockExpiry::Then>(record.at_expiry)};
      const auto [known, inserted] = expiries_.try_emplace(record.block, expiry);
      if (!inserted && expiry.at < known->second.at) known->second = expiry;  // a record from before it was changed
    }
    pages_.block(*at).unseen = 1;
    latest = std::max(latest, record.last_access);
  };
  CO_TRY(loaded, co_await index_.load(std::move(sink)));
  life_before_ = latest + 1;
  pages_.end_restore();
  adopt_pages();
  totals_.recovered_pages = pages_.page_count();
  totals_.discarded_records = loaded.damaged + discarded + (loaded.valid - discarded - pages_.page_count());
  log_info("cache_tier_open", {{"tier", options_.name},
                               {"pages", pages_.page_count()},
                               {"resident_bytes", budget_.resident},
                               {"discarded_records", totals_.discarded_records},
                               {"took_ms", std::chrono::duration_cast<std::chrono::milliseconds>(clock_.now() - began).count()},
                               {"engine", device_.disk().traits().engine}});
  co_return ok();
}

// Restored pages into budget and policy, the coldest first, so that the order of eviction is that of before. What the capacity
// (perhaps a smaller one now) does not hold is forgotten, and its bytes are given back by reconcile().
void DiskTierImpl::adopt_pages() {
  std::vector<std::uint64_t> order;
  order.reserve(pages_.page_count());
  for (PageSlot slot = 0; slot < pages_.slot_end(); ++slot) {
    if (pages_.page(slot).state() == PageState::resident) order.push_back(std::uint64_t{pages_.page(slot).last_access} << 32 | slot);
  }
  std::sort(order.begin(), order.end());
  std::uint64_t needed = 0;
  for (const std::uint64_t entry : order) needed += charge_of(static_cast<PageSlot>(entry));
  for (const std::uint64_t entry : order) {
    const auto slot = static_cast<PageSlot>(entry);
    const std::uint32_t charge = charge_of(slot);
    const BlockSlot at = pages_.page(slot).block;
    if (needed > budget_.capacity()) {
      needed -= charge;
      mark_dirty(slot);
      pages_.remove(slot);
      if (pages_.block(at).pages == 0) forget_block(at);
      continue;
    }
    budget_.charge(budget_.resident, charge);
    ++resident_pages_;
    if (pages_.block(at).pinned) pinned_bytes_ += charge;
    if (pages_.block(at).pinned) pinned_.insert(pages_.block(at).id);
    enter_policy(slot);
  }
  for (BlockSlot at = 0; at < pages_.block_end(); ++at) {
    if (pages_.block_in_use(at)) presence_changed(pages_.block(at).id, Presence::present);
  }
}

bool DiskTierImpl::is_own_file(std::string_view name) const {
  for (const std::string_view own : {identity_file_name, index_file_name, sums_file_name, probe_file_name, clean_file_name}) {
    if (name == own || name == std::string(own) + ".new") return true;
  }
  const std::size_t slash = options_.lock_file.rfind('/');
  return !options_.lock_file.empty() && name == std::string_view(options_.lock_file).substr(slash == std::string::npos ? 0 : slash + 1);
}

Task<> DiskTierImpl::reconcile() {
  std::string after;
  std::uint64_t foreign = 0;
  while (!closed_) {
    auto listed = co_await device_.list(after, files_per_list);
    if (!listed) {
      reconciling_ = false;  // from the start, when the device is well
      co_return ok();
    }
    if (listed->empty()) break;
    after = listed->back().name;
    for (DiskEntry& file : *listed) {
      if (is_own_file(file.name)) continue;
      if (!block_of_file_name(file.name)) {
        ++foreign;
        continue;
      }
      Status done = co_await reconcile_file(std::move(file));
      if (!done) {
        reconciling_ = false;
        co_return done;
      }
    }
  }
  if (!closed_) {
    reconcile_unseen();
    totals_.foreign_files = foreign;
    reconciled_ = true;
    if (foreign > 0) log_warn("cache_directory_has_foreign_files", {{"tier", options_.name}, {"files", foreign}});
  }
  reconciling_ = false;
  co_return ok();
}

Task<> DiskTierImpl::reconcile_file(DiskEntry file) {
  const BlockId id = *block_of_file_name(file.name);
  const std::optional<BlockSlot> at = pages_.find_block(id);
  if (!at) {
    // No block of that id, so nobody writes it; it is closed to writes while the name goes.
    const BlockSlot marker = pages_.add_block(BlockShape{id, 0, sector_bytes, sector_bytes});
    ++totals_.orphan_files_removed;
    totals_.leaked_bytes_freed += file.allocated_bytes;
    pages_.block(marker).doomed = 1;
    Status removed = co_await unlink(marker);
    co_return removed;
  }
  BlockEntry& block = pages_.block(*at);
  if (!block.unseen || block.doomed) co_return ok();  // made since the start
  block.unseen = 0;
  std::uint64_t expected = 0;
  std::uint64_t reaches = 0;
  std::vector<PageSlot> beyond;
  pages_.for_each_page(*at, [&](PageSlot slot) {
    const std::uint32_t page = pages_.page(slot).page;
    expected += block.shape().page_charge(page);
    reaches = block.shape().page_offset(page) + block.shape().page_length(page);
    if (pages_.page(slot).state() == PageState::resident && reaches > file.length_bytes) beyond.push_back(slot);
  });
  for (const PageSlot slot : beyond) {
    // The file ends before it: a power loss took it, or somebody cut the file.
    ++totals_.discarded_records;
    drop_corrupt(id, PageIndex{pages_.page(slot).page});
  }
  if (pages_.block(*at).doomed) co_return ok();
  // After a crash what is too much and what is missing may add up to nothing: records of pages that were just punched, bytes of
  // pages that were just written.
  const bool suspicious = !was_clean_ && !pages_.block(*at).complete();
  if (file.allocated_bytes > expected) totals_.leaked_bytes_freed += file.allocated_bytes - expected;
  if (file.allocated_bytes > expected || suspicious) start_trim(*at);
  co_return ok();
}

// Blocks that were in the index and whose file was not met.
void DiskTierImpl::reconcile_unseen() {
  for (BlockSlot at = 0; at < pages_.block_end(); ++at) {
    if (!pages_.block_in_use(at) || !pages_.block(at).unseen || pages_.block(at).doomed) continue;
    pages_.block(at).unseen = 0;
    totals_.discarded_records += pages_.block(at).pages;
    doom(at, Removal::dropped);
  }
}

}  // namespace hearth
