#include "worker/tier_mover.h"

#include "common/log.h"

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <utility>
#include <vector>

namespace hearth::worker {
namespace {

constexpr Duration look_every = std::chrono::milliseconds(100);
constexpr Duration look_at_times_every = std::chrono::seconds(1);
constexpr Duration look_for_leftovers_every = std::chrono::minutes(5);
constexpr int max_looks_per_round = 10'000;
constexpr Duration write_within = std::chrono::seconds(30);
// Pauses shorter than a timer can keep are saved up.
constexpr Duration worth_pausing = std::chrono::milliseconds(2);
// A unit that could not be evicted after all (it was read meanwhile) ends a round after this many.
constexpr int max_kept_in_a_row = 64;
constexpr int lowering_at_once = 4;
// Units of a quota's guaranteed share that one round passes over.
constexpr int max_spared = 4096;
constexpr std::size_t recounted_per_look = 2000;

}  // namespace

TierMover::TierMover(MoverParts parts)
    : executor_(parts.executor), clock_(parts.clock), memory_(parts.memory), devices_(parts.devices),
      quotas_(parts.quotas), counters_(parts.counters), presence_changed_(std::move(parts.presence_changed)),
      wanted_(std::make_shared<Event>(executor_)), tasks_(executor_, clock_) {}

TierMover::~TierMover() = default;

Status TierMover::start() {
  CHECK_OK(tasks_.spawn(watch(), "tier_mover"));
  return tasks_.spawn(watch_times(), "tier_times");
}

Task<> TierMover::stop(Deadline deadline, Deadline ended) {
  writes_end_ = deadline;
  tasks_.cancel();
  CO_CHECK_OK(co_await tasks_.drain(ended));
  const std::uint64_t before = demoted_bytes_;
  while (!devices_.empty() && !deadline.expired(clock_.now())) {
    std::optional<ColdUnit> unit = memory_.coldest();
    if (!unit) break;
    Status moved = co_await move_down(&*unit, Pressure::leaving);
    const std::uint64_t freed = memory_.evict(std::move(*unit));
    if (!moved || freed == 0) break;
  }
  const std::uint64_t saved = demoted_bytes_ - before;
  if (saved != 0) log_info("memory_saved_to_devices", {{"bytes", saved}});
  co_return ok();
}

std::uint64_t TierMover::charged_bytes() const {
  const MemoryTierStats stats = memory_.stats();
  const std::uint64_t charged = stats.resident_bytes + stats.filling_bytes + stats.orphaned_bytes + stats.pooled_bytes;
  return charged - std::min(charged, stats.compactable_bytes + stats.leaving_bytes);
}

bool TierMover::above(const policy::Percent& watermark) const {
  return charged_bytes() > watermark.of(memory_.stats().capacity_bytes);
}

bool TierMover::has_room(std::uint64_t bytes) const {
  return charged_bytes() + bytes <= settings_.high_watermark.of(memory_.stats().capacity_bytes);
}

void TierMover::nudge() {
  if (!wanted_->is_set() && above(settings_.high_watermark)) wanted_->set();
}

Task<> TierMover::watch() {
  while (true) {
    const Deadline soon = Deadline::after(clock_, look_every);
    Status woken = co_await Event::wait_until(wanted_, clock_, soon);
    if (!woken && woken.code() != Code::deadline_exceeded) co_return ok();
    wanted_ = std::make_shared<Event>(executor_);
    quotas_.recount(recounted_per_look);
    if (!compacting_ && memory_.compact()) {
      const Status spawned = tasks_.spawn(compact(), "tier_compaction");
      if (!spawned) co_return ok();
    }
    if (!above(settings_.high_watermark)) continue;
    // A task may end before spawn() returns, so the turns are counted here.
    for (int more = lowering_at_once - lowering_; more > 0; --more) {
      const Status spawned = tasks_.spawn(lower(), "tier_lowering");
      if (!spawned) co_return ok();
    }
  }
}

// Several do this at once: a device is only busy with more than one write in flight.
Task<> TierMover::lower() {
  lowering_ += 1;
  Status moved = ok();
  int kept_in_a_row = 0;
  int spared = 0;
  std::vector<ColdUnit> set_aside;
  while (above(settings_.low_watermark) && kept_in_a_row < max_kept_in_a_row && moved.code() != Code::cancelled) {
    std::optional<ColdUnit> unit = memory_.coldest();
    if (!unit) break;
    const bool last = quotas_.protected_in(unit->block.id, policy::CacheTier::memory);
    if (last && ++spared < max_spared) {
      set_aside.push_back(std::move(*unit));  // while it is held it is not chosen again
      continue;
    }
    moved = co_await move_down(&*unit, Pressure::normal);
    if (!moved) dropped_bytes_ += unit->charged_bytes;
    kept_in_a_row = memory_.evict(std::move(*unit)) == 0 ? kept_in_a_row + 1 : 0;
  }
  lowering_ -= 1;
  if (presence_changed_) presence_changed_();
  co_return ok();
}

Task<> TierMover::compact() {
  compacting_ = true;
  while (memory_.compact()) co_await asio::post(executor_, asio::use_awaitable);
  compacting_ = false;
  co_return ok();
}

Task<> TierMover::move_down(ColdUnit* unit, Pressure pressure) {
  if (devices_.empty()) co_return ok();
  const auto times = times_.find(unit->block.id);
  if (times != times_.end() && times->second.memory_only) co_return ok();
  for (const auto& [page, view] : unit->pages) {
    if (devices_.holder(unit->block, page) != nullptr) continue;
    DiskTier* device = devices_.home(unit->block.id);
    if (device == nullptr) co_return Error(Code::unavailable, "no device takes writes now");
    const TimePoint began = clock_.now();
    const std::span<const std::byte> bytes = view.bytes();
    std::vector<std::uint32_t> sums(view.chunk_checksums().begin(), view.chunk_checksums().end());
    const Deadline deadline = Deadline::after(clock_, write_within).sooner_of(writes_end_);
    Status written = co_await write(device, unit->block, page, bytes, std::move(sums), deadline);
    if (!written && written.code() != Code::already_exists) {
      log_debug("not_demoted", {{"block", unit->block.id.to_hex()}, {"why", written.error().to_string()}});
      co_return written;
    }
    demoted_bytes_ += bytes.size();
    counters_.demoted(bytes.size());
    if (pressure == Pressure::normal) CO_CHECK_OK(co_await pace(clock_.now() - began));
  }
  co_return ok();
}

// After `busy` of writing, as long a pause as makes it the movement's share of the time.
Task<> TierMover::pace(Duration busy) {
  const std::uint64_t reads = device_reads();
  if (std::exchange(device_reads_seen_, reads) == reads) co_return ok();  // nobody is disturbed
  const std::uint32_t share = std::max(settings_.movement_share.hundredths, 100U);
  debt_ += busy * (10'000 - std::min(share, 10'000U)) / share;
  if (debt_ < worth_pausing) co_return ok();
  Status slept = co_await clock_.sleep_for(std::exchange(debt_, Duration::zero()));
  co_return slept;
}

std::uint64_t TierMover::device_reads() const {
  std::uint64_t reads = 0;
  for (const TierDevices::Device& device : devices_.all()) {
    if (device.tier != nullptr) reads += device.tier->stats().reads;
  }
  return reads;
}

// ---- times

void TierMover::kept(const BlockRef& block, const policy::Attributes& decided) {
  const bool memory_only = decided.tier == policy::TierChoice::memory;
  const bool timed = decided.ttl.count() != 0 || decided.demote_after_idle.count() != 0;
  if (!timed && !memory_only) return;
  const auto [found, inserted] = times_.try_emplace(block.id);
  Times& times = found->second;
  const TimePoint now = clock_.now();
  times.memory_only = memory_only;
  times.last_read = now;
  times.demote_after = decided.demote_after_idle;
  times.at_end = decided.ttl_action;
  if (!inserted) return;
  if (decided.ttl.count() != 0) {
    times.expires = now + decided.ttl;
    times.expires_by_wall = clock_.wall_now() + decided.ttl;
  }
  looks_.emplace(next_look(times), block.id);
}

void TierMover::found(const DiskTier& device) {
  const TimePoint now = clock_.now();
  const WallTime wall_now = clock_.wall_now();
  for (const auto& [block, expiry] : device.expiries()) {
    Times& times = times_[block];
    const TimePoint expires = now + (expiry.at - wall_now);
    if (expires >= times.expires) continue;  // another device keeps some of it as well
    times.expires = expires;
    times.expires_by_wall = expiry.at;
    times.at_end = expiry.then == BlockExpiry::Then::free ? policy::TtlAction::free : policy::TtlAction::expire;
    times.last_read = now;
    looks_.emplace(std::max(times.expires, now), block);
  }
}

std::optional<BlockExpiry> TierMover::expiry_of(const BlockId& block) const {
  const auto found = times_.find(block);
  if (found == times_.end() || found->second.expires == TimePoint::max()) return std::nullopt;
  const auto then = found->second.at_end == policy::TtlAction::free ? BlockExpiry::Then::free : BlockExpiry::Then::expire;
  return BlockExpiry{found->second.expires_by_wall, then};
}

Task<> TierMover::write(DiskTier* device, BlockRef block, PageIndex page, std::span<const std::byte> bytes,
                        std::vector<std::uint32_t> sums, Deadline deadline) {
  const BlockId id = block.id;
  const std::optional<BlockExpiry> expiry = times_.empty() ? std::nullopt : expiry_of(id);
  if (expiry) device->set_expiry(id, expiry);
  Status written = co_await device->write(std::move(block), page, bytes, std::move(sums), deadline);
  if (!written && expiry && !device->residency(id).present) device->set_expiry(id, std::nullopt);
  co_return written;
}

// No later than the next thing that time brings about; what waits for nothing is looked at to see whether it is still here.
TimePoint TierMover::next_look(const Times& times) const {
  const TimePoint now = clock_.now();
  TimePoint next = now + look_for_leftovers_every;
  if (times.expires > now) next = std::min(next, times.expires);
  if (times.demote_after > Duration::zero()) {
    next = std::min(next, std::max(times.last_read + times.demote_after, now + look_at_times_every));
  }
  return next;
}

void TierMover::was_read(const BlockId& block) {
  if (times_.empty()) return;
  const auto found = times_.find(block);
  if (found != times_.end()) found->second.last_read = clock_.now();
}

bool TierMover::expired(const BlockId& block) const {
  if (times_.empty()) return false;
  const auto found = times_.find(block);
  return found != times_.end() && found->second.expires <= clock_.now();
}

bool TierMover::anywhere(const BlockId& block) const {
  if (memory_.residency(block).present) return true;
  for (const TierDevices::Device& device : devices_.all()) {
    if (device.tier != nullptr && device.tier->residency(block).present) return true;
  }
  return false;
}

Task<> TierMover::watch_times() {
  while (true) {
    Status slept = co_await clock_.sleep_for(look_at_times_every);
    if (!slept) co_return ok();
    for (int looked = 0; looked < max_looks_per_round && !looks_.empty(); ++looked) {
      const auto first = looks_.begin();
      if (first->first > clock_.now()) break;
      const BlockId block = first->second;
      looks_.erase(first);
      Status done = co_await look_at(block);
      if (done.code() == Code::cancelled) co_return ok();
    }
  }
}

Task<> TierMover::look_at(BlockId block) {
  const auto found = times_.find(block);
  if (found == times_.end()) co_return ok();
  const Times times = found->second;
  const TimePoint now = clock_.now();
  if (times.expires <= now && times.at_end == policy::TtlAction::free) {
    memory_.free_block(block);
    for (const TierDevices::Device& device : devices_.all()) {
      if (device.tier != nullptr) device.tier->free_block(block);
    }
    times_.erase(block);
    if (presence_changed_) presence_changed_();
    co_return ok();
  }
  Status moved = ok();
  if (times.demote_after > Duration::zero() && now - times.last_read >= times.demote_after) {
    moved = co_await demote_block(block);
    if (presence_changed_) presence_changed_();
  }
  const auto still = times_.find(block);
  if (still == times_.end()) co_return moved;
  if (anywhere(block)) {
    looks_.emplace(next_look(still->second), block);
  } else {
    times_.erase(still);
  }
  co_return moved;
}

Task<> TierMover::demote_block(BlockId block) {
  for (ColdUnit& unit : memory_.units_of(block)) {
    Status moved = co_await move_down(&unit, Pressure::normal);
    if (!moved) co_return moved;
    memory_.evict(std::move(unit));
  }
  co_return ok();
}

}  // namespace hearth::worker
