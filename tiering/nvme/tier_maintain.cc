// The background: what happens at each tick, and the life of the tier from open() to shut_down().
#include "tiering/nvme/disk_tier_impl.h"

#include "common/log.h"
#include "common/rng.h"
#include "tiering/nvme/sector_sums.h"

#include <algorithm>
#include <utility>

namespace hearth {
namespace {

constexpr Duration sync_interval = std::chrono::seconds(10);     // what a power loss may forget of the index
constexpr Duration look_interval = std::chrono::seconds(2);      // at free space and identity
constexpr Duration retry_interval = std::chrono::seconds(1);
constexpr std::size_t sums_per_flush = 4096;
constexpr std::size_t idle_calls = 4;                            // more in flight: the scrubber waits

}  // namespace

Task<> DiskTierImpl::maintain() {
  CO_CHECK_OK(ticker_.spawn(tick_loop(), "nvme_tier"));
  const Deadline whole_life = Deadline::never();
  Status ended = co_await ticker_.drain(whole_life);
  co_return ended;
}

Task<> DiskTierImpl::tick_loop() {
  while (!closed_) {
    CO_CHECK_OK(co_await clock_.sleep_for(options_.tick));
    step();
  }
  co_return ok();
}

void DiskTierImpl::background(bool* running, Task<> task, std::string_view what) {
  *running = true;
  const Status spawned = tasks_.spawn(std::move(task), what);
  if (!spawned) *running = false;
}

void DiskTierImpl::step() {
  if (closed_) return;
  const TimePoint now = clock_.now();
  if (device_.oldest() != TimePoint::max()) device_.health().oldest_in_flight(device_.oldest(), now);
  device_.health().tick(now);
  calls_.expire(now);
  health_changed();
  if (room_.has_waiters()) room_.notify_all();  // to look at their deadlines
  // Not by the probe, which may hang with the device.
  if (!placing_ && now - placed_at_ >= look_interval) background(&placing_, look_at_place(), "look_at_cache_directory");
  if (!device_.health().readable()) {
    if (!probing_ && device_.health().probe_due(now)) background(&probing_, probe(), "probe_cache_device");
    return;
  }
  const bool many = dirty_.size() >= options_.max_dirty_records;
  if (!flushing_ && (many || now - flushed_at_ >= options_.flush_interval) && (!dirty_.empty() || sums_.unwritten() > 0)) {
    background(&flushing_, flush_now(), "write_page_index");
  }
  if (!flushing_ && now - synced_at_ >= sync_interval) background(&flushing_, sync_now(), "sync_page_index");
  if (now - retried_at_ >= retry_interval) {
    retried_at_ = now;
    retry_stuck();
  }
  evict_to_watermark();
  if (!reconciled_ && !reconciling_) background(&reconciling_, reconcile(), "reconcile_cache_files");
  if (!looking_ && now - looked_at_ >= look_interval) background(&looking_, look_at_device(), "look_at_cache_device");
  if (!scrubbing_ && reconciled_ && device_.in_flight() <= idle_calls) background(&scrubbing_, scrub(), "scrub_cache");
  publish_metrics();
}

Task<> DiskTierImpl::flush() {
  while (flushing_) CO_CHECK_OK(co_await quiet_.wait());
  for (bool more = true; more; more = sums_.unwritten() > 0) {
    flushing_ = true;
    CO_CHECK_OK(co_await flush_now());
  }
  flushing_ = true;
  Status synced = co_await sync_now();
  co_return synced;
}

// Writes the checksums of pages before the records that make them findable: a record without checksums costs a longer read.
Task<> DiskTierImpl::flush_now() {
  flushed_at_ = clock_.now();
  std::vector<SlotSums> sums;
  for (const PageSlot slot : sums_.take_unwritten(sums_per_flush)) {
    const std::span<const std::uint32_t> of_slot = sums_.get(slot);
    sums.push_back(SlotSums{slot, std::vector<std::uint32_t>(of_slot.begin(), of_slot.end())});
  }
  std::vector<PageSlot> slots = std::exchange(dirty_, {});
  std::sort(slots.begin(), slots.end());
  std::vector<SlotRecord> records;
  records.reserve(slots.size());
  for (const PageSlot slot : slots) {
    pages_.page(slot).dirty = 0;
    records.push_back(SlotRecord{slot, record_of(slot)});
  }
  const std::vector<SlotSums> kept = sums;
  Status written = co_await index_.write_sums(std::move(sums));
  std::function<std::optional<IndexRecord>(std::uint32_t)> between = [this](std::uint32_t slot) { return record_of(slot); };
  if (written) written = co_await index_.write(std::move(records), std::move(between));
  if (!written) {
    for (const PageSlot slot : slots) mark_dirty(slot);
    for (const SlotSums& entry : kept) sums_.unwritten_again(entry.slot);
  }
  flushing_ = false;
  if (quiet_.has_waiters()) quiet_.notify_all();
  co_return written;  // what was not written is tried again
}

Task<> DiskTierImpl::sync_now() {
  synced_at_ = clock_.now();
  Status synced = co_await index_.sync();
  flushing_ = false;
  if (quiet_.has_waiters()) quiet_.notify_all();
  co_return synced;
}

void DiskTierImpl::health_changed() {
  const DeviceState now = device_.health().state();
  if (now == seen_state_) return;
  log_warn("cache_device_state", {{"tier", options_.name}, {"from", name(seen_state_)}, {"to", name(now)}, {"reason", device_.health().reason()}});
  seen_state_ = now;
  const bool fenced = now == DeviceState::fenced;
  if (fenced == fence_seen_) return;
  if (!fenced) fence_seen_ = false;
  for (BlockSlot at = 0; at < pages_.block_end(); ++at) {
    const BlockEntry& block = pages_.block(at);
    if (!pages_.block_in_use(at) || block.doomed || block.resident_pages == 0) continue;
    presence_changed(block.id, fenced ? Presence::absent : Presence::present);
  }
  if (fenced) {
    fence_seen_ = true;
    return;
  }
  // Whatever happened to the directory meanwhile: nothing is granted before it was read again.
  for (PageSlot slot = 0; slot < pages_.slot_end(); ++slot) pages_.page(slot).verified = 0;
  verified_pages_ = 0;
  files_.close_idle();
}

Task<> DiskTierImpl::probe() {
  const TimePoint began = clock_.now();
  Status status = co_await try_device();
  if (status.code() == Code::no_space) status = ok();  // full is not ill
  if (status) replaced_ = false;
  const Duration took = clock_.now() - began;
  device_.health().probed(status.code(), took / 4, clock_.now());
  probing_ = false;
  health_changed();
  co_return ok();
}

// Is it our directory, in its place, and does it take and give bytes?
Task<> DiskTierImpl::try_device() {
  Status status = co_await device_.disk().check_place();
  note_place(status);
  if (!status) co_return status;
  status = co_await index_.check_identity();
  if (!status) note_place(status);
  const std::string probe_name(probe_file_name);
  std::optional<DiskFileId> file;
  if (status) {
    auto opened = co_await device_.disk().open(probe_name, DiskOpen::create_or_open, DiskCaching::direct);
    status = opened ? ok() : Status(std::move(opened).error());
    if (status) file = *opened;
  }
  if (file) {
    DiskBuffer out = device_.buffer(sector_bytes);
    DiskBuffer in = device_.buffer(sector_bytes);
    system_rng().fill(out.bytes().first(sector_bytes));
    status = co_await device_.disk().write(*file, 0, out.bytes().first(sector_bytes));
    if (status) status = co_await device_.disk().read(*file, 0, in.bytes().first(sector_bytes));
    if (status && !std::equal(out.bytes().begin(), out.bytes().begin() + sector_bytes, in.bytes().begin())) {
      status = Error(Code::io_error, "the probe read back other bytes than it wrote");
    }
    Status closed = co_await device_.disk().close(*file);
    if (status) status = std::move(closed);
  }
  co_return status;
}

// Whether the directory is in its place; of one that is not, nothing is believed and nothing is written to it.
Task<> DiskTierImpl::look_at_place() {
  placed_at_ = clock_.now();
  Status found = co_await device_.disk().check_place();
  note_place(found);
  placing_ = false;
  health_changed();
  co_return ok();
}

void DiskTierImpl::note_place(const Status& found) {
  if (found || (found.code() != Code::stale && found.code() != Code::unavailable)) return;  // no answer to the question
  replaced_ = found.code() == Code::stale;
  device_.health().lost(found.error().message(), clock_.now());
}

// Free space and identity, now and then: a full file system or a foreign directory is better met here than by a read.
Task<> DiskTierImpl::look_at_device() {
  looked_at_ = clock_.now();
  auto space = co_await device_.disk().space();
  if (space) {
    const std::uint64_t available = space->free_bytes > options_.reserve_bytes ? space->free_bytes - options_.reserve_bytes : 0;
    const std::uint64_t possible = budget_.total() - budget_.filling + available;
    // Down at once, up only when there is room to spare: two tiers on one file system must not take turns.
    if (possible < budget_.limit()) budget_.set_limit(possible);
    if (possible > budget_.limit() + budget_.capacity() / 64) budget_.set_limit(possible - budget_.capacity() / 128);
  }
  Status ours = co_await index_.check_identity();
  if (!ours) note_place(ours);
  looking_ = false;
  health_changed();
  co_return ok();
}

Task<> DiskTierImpl::scrub() {
  const TimePoint now = clock_.now();
  for (std::optional<PageSlot> slot = scrubber_.next(pages_, now); slot && !closed_; slot = scrubber_.next(pages_, now)) {
    const BlockShape shape = pages_.block(pages_.page(*slot).block).shape();
    const std::uint32_t page = pages_.page(*slot).page;
    scrubber_.spent(shape.page_charge(page));
    auto fetched = co_await fetch(shape, page, *slot, 0, shape.page_length(page));
    ++totals_.scrubbed_pages;
    if (fetched.code() == Code::corrupt && told_of_corrupt_) told_of_corrupt_(shape.id, PageIndex{page});
    const bool ill = !fetched && !device_.health().readable();
    if (ill) break;
  }
  scrubbing_ = false;
  co_return ok();
}

namespace {

Task<> expire_at(Clock& clock, TimePoint when, CallWatch& calls) {
  CO_CHECK_OK(co_await clock.sleep_until(when));
  calls.expire(when);
  co_return ok();
}

}  // namespace

Task<> DiskTierImpl::shut_down(Deadline deadline) {
  closed_ = true;
  ticker_.cancel();
  TaskGroup alarm(ticker_.executor(), clock_);
  if (!deadline.is_never()) CO_CHECK_OK(alarm.spawn(expire_at(clock_, deadline.when(), calls_), "shut_down_alarm"));
  Status ended = co_await calls_.drain(clock_, deadline);
  if (ended) ended = co_await calls_.run(finish(deadline), deadline);
  alarm.cancel();
  CO_CHECK_OK(co_await alarm.join());
  CO_CHECK_OK(co_await ticker_.drain(deadline));
  co_return ended;
}

// A call of its own: the device may hang in each of its steps, and then whoever shuts down waits for it no longer than he said. May
// run again after that one, and finds done what it did.
Task<> DiskTierImpl::finish(Deadline deadline) {
  leases_.clear();
  std::vector<BlockId> loading;
  for (const auto& [block, load] : whole_) loading.push_back(pages_.block(block).id);
  for (const BlockId& block : loading) end_whole(block);
  bool written = false;
  if (index_.is_open() && device_.health().readable()) {
    Status flushed = co_await flush();
    written = flushed.has_value();
    if (!flushed) log_warn("cache_index_not_written", {{"tier", options_.name}, {"error", flushed.error().to_string()}});
  }
  files_.close_idle();
  CO_CHECK_OK(co_await tasks_.drain(deadline));
  if (written && dirty_.empty() && budget_.leaving == 0 && reconciled_) {
    Status marked = co_await index_.leave_clean_mark();
    (void)marked;  // without it the next start looks at every file
  }
  Status closed = co_await index_.close();
  (void)closed;  // the disk closes what is left
  co_return ok();
}

}  // namespace hearth
