#include "tiering/nvme/disk_tier_impl.h"

#include "common/log.h"
#include "common/rng.h"
#include "tiering/nvme/sector_sums.h"

#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <cassert>
#include <utility>

namespace hearth {
namespace {

Status validate_options(const DiskTierOptions& options) {
  const auto wrong = [&](const std::string& what) { return Error(Code::invalid_argument, "tier " + options.name + ": " + what); };
  if (options.capacity_bytes < options.max_page_bytes) return wrong("its capacity is less than one page");
  if (options.max_page_bytes < sector_bytes || options.max_page_bytes % sector_bytes != 0) return wrong("max_page_bytes must be a multiple of 4 KiB");
  if (!(options.low_watermark > 0 && options.low_watermark <= options.high_watermark && options.high_watermark <= 1)) {
    return wrong("watermarks must be 0 < low <= high <= 1");
  }
  if (options.max_open_files == 0 || options.max_reads_in_flight == 0) return wrong("max_open_files and max_reads_in_flight must be above 0");
  return ok();
}

}  // namespace

Task<std::unique_ptr<DiskTier>> DiskTier::open(DiskTierOptions options, Disk& disk, Clock& clock, std::unique_ptr<EvictionPolicy> policy) {
  CO_CHECK_OK(validate_options(options));
  DirectoryLock lock;
  if (!options.lock_file.empty()) {
    auto taken = DirectoryLock::take(options.lock_file);
    if (!taken) co_return std::move(taken).error();
    lock = std::move(*taken);
  }
  const Executor executor = co_await asio::this_coro::executor;
  const std::string name = options.name;
  auto tier = std::make_unique<DiskTierImpl>(std::move(options), std::move(lock), disk, executor, clock, std::move(policy));
  Status recovered = co_await tier->recover();
  if (!recovered) {
    Status ended = Error(Code::deadline_exceeded, "not yet");
    while (ended.code() == Code::deadline_exceeded) {  // with calls in flight it can not go away
      const Deadline soon = Deadline::after(clock, std::chrono::seconds(5));
      ended = co_await tier->shut_down(soon);
    }
    // The first failure is the one to report.
    co_return std::move(recovered).error().with_context("tier " + name);
  }
  std::unique_ptr<DiskTier> opened = std::move(tier);
  co_return opened;
}

DiskTierImpl::DiskTierImpl(DiskTierOptions options, DirectoryLock lock, Disk& disk, Executor executor, Clock& clock,
                           std::unique_ptr<EvictionPolicy> policy)
    : options_(std::move(options)), lock_(std::move(lock)), clock_(clock), opened_at_(clock.now()), device_(disk, clock, options_.health),
      index_(device_), policy_(std::move(policy)), sums_(options_.sums_cache_bytes), budget_(options_.capacity_bytes),
      scrubber_(options_.scrub_bytes_per_second, options_.scrub_pause), tasks_(executor, clock), ticker_(executor, clock),
      files_(device_, tasks_, options_.max_open_files,
             [this](std::uint64_t bytes) {
               TierBudget::uncharge(budget_.orphaned, bytes);
               if (bytes > 0) room_changed();
               if (quiet_.has_waiters()) quiet_.notify_all();
             }),
      calls_(executor), room_(executor), quiet_(executor), low_watermark_(options_.low_watermark), high_watermark_(options_.high_watermark) {
  flushed_at_ = synced_at_ = retried_at_ = opened_at_;
  looked_at_ = placed_at_ = opened_at_;
  pages_.reserve(options_.capacity_bytes / options_.max_page_bytes);
}

DiskTierImpl::~DiskTierImpl() = default;

Error DiskTierImpl::error(Code code, const std::string& sentence) const { return Error(code, "tier " + options_.name + ": " + sentence); }

Status DiskTierImpl::usable() const {
  if (closed_) return error(Code::unavailable, "it is shutting down");
  if (!device_.health().readable()) {
    return error(Code::unavailable, "its device is fenced (" + device_.health().reason() + "); it is probed and comes back by itself");
  }
  return ok();
}

Status DiskTierImpl::validate(const BlockRef& block, PageIndex page) const {
  if (block.page_size_bytes < sector_bytes || block.page_size_bytes % sector_bytes != 0 || block.page_size_bytes > options_.max_page_bytes) {
    return error(Code::unsupported, "pages of " + std::to_string(block.page_size_bytes) + " bytes are not kept here; max_page_bytes is " +
                                        std::to_string(options_.max_page_bytes));
  }
  if (block.length_bytes == 0 || block.length_bytes > max_block_size_bytes || page.value >= block.page_count()) {
    return error(Code::invalid_argument, "block " + block.id.to_hex() + " has no page " + std::to_string(page.value));
  }
  return ok();
}

// The resident page, when the block is the one that is asked for.
std::optional<PageSlot> DiskTierImpl::find_page(const BlockRef& block, PageIndex page) const {
  const std::optional<BlockSlot> at = pages_.find_block(block.id);
  if (!at || pages_.block(*at).doomed || pages_.block(*at).shape() != BlockShape::of(block)) return std::nullopt;
  const std::optional<PageSlot> slot = pages_.find(*at, page.value);
  if (!slot || pages_.page(*slot).state() != PageState::resident) return std::nullopt;
  return slot;
}

bool DiskTierImpl::still_resident(const BlockId& block, std::uint32_t page, PageSlot slot) const {
  const std::optional<BlockSlot> at = pages_.find_block(block);
  return at && !pages_.block(*at).doomed && pages_.find(*at, page) == slot && pages_.page(slot).state() == PageState::resident;
}

std::uint32_t DiskTierImpl::charge_of(PageSlot slot) const {
  const PageEntry& entry = pages_.page(slot);
  return pages_.block(entry.block).shape().page_charge(entry.page);
}

bool DiskTierImpl::evictable(PageSlot slot) const {
  const PageEntry& entry = pages_.page(slot);
  const BlockEntry& block = pages_.block(entry.block);
  return block.leases == 0 && !block.pinned && !block.doomed && !files_.has_readers(block.id, entry.page);
}

std::uint32_t DiskTierImpl::now_seconds() const {
  return life_before_ + static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(clock_.now() - opened_at_).count());
}

std::optional<IndexRecord> DiskTierImpl::record_of(PageSlot slot) const {
  if (slot >= pages_.slot_end()) return std::nullopt;
  const PageEntry& page = pages_.page(slot);
  if (page.state() != PageState::resident) return std::nullopt;
  const BlockEntry& block = pages_.block(page.block);
  IndexRecord record{.block = block.id,
                     .block_start = block.start,
                     .block_length = block.length_bytes,
                     .page = page.page,
                     .page_size_bytes = block.page_size_bytes,
                     .crc = page.crc,
                     .last_access = page.last_access,
                     .pinned = block.pinned};
  const auto expiry = expiries_.empty() ? expiries_.end() : expiries_.find(block.id);
  if (expiry != expiries_.end()) {
    record.expires_s = static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(expiry->second.at.time_since_epoch()).count());
    record.at_expiry = static_cast<std::uint8_t>(expiry->second.then);
  }
  return record;
}

std::optional<DiskPageInfo> DiskTierImpl::lookup(const BlockRef& block, PageIndex page) const {
  if (closed_ || !device_.health().readable()) return std::nullopt;
  const std::optional<PageSlot> slot = find_page(block, page);
  if (!slot) return std::nullopt;
  const PageEntry& entry = pages_.page(*slot);
  const std::uint32_t now = now_seconds();
  return DiskPageInfo{.length_bytes = block.page_length_bytes(page),
                      .idle = std::chrono::seconds(now > entry.last_access ? now - entry.last_access : 0),
                      .verified = entry.verified != 0};
}

bool DiskTierImpl::has_room(std::uint64_t length_bytes) const {
  return !closed_ && device_.health().writable() && budget_.fits(std::uint64_t{sector_count(length_bytes)} * sector_bytes);
}

BlockResidency DiskTierImpl::residency(const BlockId& id) const {
  const std::optional<BlockSlot> at = pages_.find_block(id);
  if (!at || pages_.block(*at).doomed || pages_.block(*at).resident_pages == 0 || !device_.health().readable()) return {};
  const BlockEntry& block = pages_.block(*at);
  BlockResidency residency{.present = true, .complete = block.complete(), .leases = block.leases};
  if (residency.complete) {
    residency.resident_bytes = block.length_bytes;
  } else {
    pages_.for_each_page(*at, [&](PageSlot slot) {
      if (pages_.page(slot).state() == PageState::resident) residency.resident_bytes += block.shape().page_length(pages_.page(slot).page);
    });
  }
  return residency;
}

PresenceChanges DiskTierImpl::take_changes() {
  PresenceChanges changes;
  for (const auto& [id, now] : changes_) (now == Presence::present ? changes.added : changes.removed).push_back(id);
  changes_.clear();
  return changes;
}

std::vector<BlockId> DiskTierImpl::all_blocks() const {
  std::vector<BlockId> ids;
  if (!device_.health().readable()) return ids;
  for (BlockSlot at = 0; at < pages_.block_end(); ++at) {
    if (pages_.block_in_use(at) && !pages_.block(at).doomed && pages_.block(at).resident_pages > 0) ids.push_back(pages_.block(at).id);
  }
  return ids;
}

std::vector<std::pair<BlockId, PageIndex>> DiskTierImpl::coldest(std::size_t count) const {
  // A sample from where the last one ended: looking at every page of a large device would hold up the shard.
  constexpr PageSlot sample = 65536;
  std::vector<std::pair<std::uint32_t, PageSlot>> found;
  const PageSlot end = pages_.slot_end();
  for (PageSlot looked = 0; looked < std::min(sample, end); ++looked) {
    if (coldest_from_ >= end) coldest_from_ = 0;
    const PageSlot slot = coldest_from_++;
    if (pages_.page(slot).state() == PageState::resident && evictable(slot)) found.emplace_back(pages_.page(slot).last_access, slot);
  }
  const std::size_t kept = std::min(count, found.size());
  std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(kept), found.end());
  std::vector<std::pair<BlockId, PageIndex>> pages;
  for (std::size_t i = 0; i < kept; ++i) {
    const PageEntry& entry = pages_.page(found[i].second);
    pages.emplace_back(pages_.block(entry.block).id, PageIndex{entry.page});
  }
  return pages;
}

DiskTierStats DiskTierImpl::stats() const {
  DiskTierStats stats = totals_;
  stats.capacity_bytes = budget_.capacity();
  stats.effective_capacity_bytes = budget_.limit();
  stats.resident_bytes = budget_.resident;
  stats.filling_bytes = budget_.filling;
  stats.leaving_bytes = budget_.leaving;
  stats.orphaned_bytes = budget_.orphaned;
  stats.index_bytes = pages_.memory_bytes();
  stats.blocks = pages_.block_count();
  stats.leases = leases_.size();
  stats.open_files = files_.open_files();
  stats.dirty_records = dirty_.size();
  stats.scrub_rounds = scrubber_.rounds();
  stats.state = device_.health().state();
  stats.state_reason = device_.health().reason();
  stats.replaced = replaced_;
  stats.leased_bytes = leased_bytes_;
  stats.pinned_bytes = pinned_bytes_;
  stats.pages = resident_pages_;
  stats.unverified_pages = resident_pages_ - verified_pages_;
  return stats;
}

void DiskTierImpl::presence_changed(const BlockId& id, Presence now) {
  if (fence_seen_) return;  // all are absent already; readmission reports what is there then
  // Presence alternates, so a second change takes the block back to what was reported.
  const auto [entry, inserted] = changes_.try_emplace(id, now);
  if (!inserted) changes_.erase(entry);
}

}  // namespace hearth
