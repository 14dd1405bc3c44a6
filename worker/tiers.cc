#include "worker/tiers.h"

#include "common/log.h"
#include "tiering/policy/block_subject.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace hearth::worker {
namespace {

// Counts of reads on devices, for promotion: 2 * 40 bytes each.
constexpr std::size_t max_counted_reads = 1U << 17;
// A page that was found wrong is written anew once its old bytes are gone.
constexpr int write_again = 10;
constexpr Duration write_again_after = std::chrono::milliseconds(20);

PageBytes from_device(DiskPage page, Kept kept) {
  auto holder = std::make_shared<const DiskPage>(std::move(page));
  const std::span<const std::byte> bytes = holder->bytes;
  const std::span<const std::uint32_t> checksums = holder->chunk_checksums;
  const std::uint64_t begin = holder->offset_in_page;
  PageBytes made(std::move(holder), bytes, checksums, kept, begin);
  made.set_source(Source::device);
  return made;
}

std::string_view class_name(policy::Eviction eviction) {
  switch (eviction) {
    case policy::Eviction::lru: return "lru";
    case policy::Eviction::w_tinylfu: return "w-tinylfu";
    case policy::Eviction::s3_fifo: break;
  }
  return "s3-fifo";
}

Error not_here(const BlockRef& block, PageIndex page) {
  return Error(Code::not_found, "no device of this worker serves page " + std::to_string(page.value) + " of block " +
                                    block.id.to_hex());
}

}  // namespace

Tiers::Tiers(TiersParts parts, NvmeOptions options, DiskOpener opener, std::uint64_t worker_id)
    : parts_(std::move(parts)), devices_(parts_.executor, parts_.clock, std::move(options), std::move(opener), worker_id),
      quotas_(parts_.memory, devices_),
      mover_({parts_.executor, parts_.clock, parts_.memory, devices_, quotas_, parts_.counters, parts_.presence_changed}),
      observer_(parts_.clock),
      policy_(std::make_shared<policy::Policy>()), second_read_(make_admission("second-read").value()),
      device_reads_(max_counted_reads) {
  use_eviction();
  devices_.on_close([this](DiskTier& tier) {
    const PresenceChanges last = tier.take_changes();
    left_with_a_device_.insert(left_with_a_device_.end(), last.added.begin(), last.added.end());
    left_with_a_device_.insert(left_with_a_device_.end(), last.removed.begin(), last.removed.end());
    if (parts_.presence_changed) parts_.presence_changed();
  });
  devices_.on_open([this](DiskTier& tier) {
    mover_.found(tier);
    if (parts_.presence_changed) parts_.presence_changed();
    tier.on_corrupt([this](const BlockId& block, PageIndex page) {
      parts_.counters.corrupt_found();
      log_warn("scrub_found_corruption", {{"block", block.to_hex()}, {"page", page.value},
                                          {"action", "dropped; the next reader fetches it again"}});
      if (parts_.presence_changed) parts_.presence_changed();
    });
  });
}

Tiers::~Tiers() = default;

Task<> Tiers::start() {
  CO_CHECK_OK(co_await devices_.open());
  CO_CHECK_OK(mover_.start());
  if (parts_.presence_changed) parts_.presence_changed();
  co_return ok();
}

Task<> Tiers::stop(Deadline deadline) {
  const Deadline flushed = Deadline::at(std::max(deadline.when(), parts_.clock.now() + devices_.close_within()));
  Status moved = co_await mover_.stop(deadline, flushed);
  Status closed = co_await devices_.close(flushed);
  co_return moved.code() == Code::deadline_exceeded ? moved : closed;
}

void Tiers::set_policy(std::shared_ptr<const policy::Policy> policy) {
  const policy::Eviction before = policy_->memory().eviction;
  policy_ = std::move(policy);
  policy_changes_ += 1;
  mover_.set_settings(policy_->memory());
  if (policy_->memory().eviction != before) use_eviction();
  devices_.use(policy_->nvme());
  quotas_.set_policy(*policy_);
}

void Tiers::use_eviction() {
  parts_.memory.set_eviction(make_policy(class_name(policy_->memory().eviction)).value());
}

policy::Decision Tiers::decide(const BlockRef& block, std::optional<PageIndex> page) const {
  const std::string path = parts_.attachments.path_of(block);
  return policy_->decide(policy::subject_of(path, block, page));
}

std::uint64_t Tiers::fingerprint(const BlockId& block, PageIndex page) {
  return BlockIdHash{}(block) ^ (std::uint64_t{page.value} + 1) * 0x9E3779B97F4A7C15ULL;
}

// ---- reading

std::optional<PageView> Tiers::find(const BlockRef& block, PageIndex page) {
  if (mover_.expired(block.id)) {
    log_debug("block_expired", {{"block", block.id.to_hex()}, {"path", block.store_path}});
    free_block(block.id);
    return std::nullopt;
  }
  std::optional<PageView> view = parts_.memory.find(block, page);
  if (view) note_read(block.id);
  return view;
}

Task<PageBytes> Tiers::read_part(BlockRef block, PageIndex page, std::uint64_t offset, std::uint64_t length,
                                 Deadline deadline) {
  DiskTier* device = devices_.holder(block, page);
  if (device == nullptr) co_return not_here(block, page);
  if (earned_memory(block, page)) {
    // The whole page comes up; the part is cut from it.
    Result<PageBytes> whole = co_await read_up(block, page, deadline);
    co_return whole;
  }
  const Piece piece{offset, length};
  Result<PageBytes> part = co_await read_device(device, block, page, piece, deadline);
  co_return part;
}

Task<PageBytes> Tiers::read_page(BlockRef block, PageIndex page, Keep keep, Deadline deadline) {
  DiskTier* device = devices_.holder(block, page);
  if (device == nullptr) co_return not_here(block, page);
  if (keep != Keep::never && earned_memory(block, page)) {
    Result<PageBytes> up = co_await read_up(block, page, deadline);
    co_return up;
  }
  const Piece whole{0, block.page_length_bytes(page)};
  Result<PageBytes> bytes = co_await read_device(device, block, page, whole, deadline);
  co_return bytes;
}

Task<PageBytes> Tiers::read_device(DiskTier* device, BlockRef block, PageIndex page, Piece piece, Deadline deadline) {
  note_read(block.id);
  Result<DiskPage> read = co_await device->read(block, page, piece.offset, piece.length, deadline);
  if (read) co_return from_device(std::move(read).value(), Kept::yes);
  if (read.code() == Code::corrupt) parts_.counters.corrupt_found();
  log_warn("device_read_failed", {{"block", block.id.to_hex()}, {"page", page.value},
                                  {"why", read.error().to_string()}});
  co_return not_here(block, page);
}

Task<PageBytes> Tiers::read_up(BlockRef block, PageIndex page, Deadline deadline) {
  DiskTier* device = devices_.holder(block, page);
  if (device == nullptr) co_return not_here(block, page);
  const Piece whole{0, block.page_length_bytes(page)};
  Result<PageBytes> bytes = co_await read_device(device, block, page, whole, deadline);
  if (!bytes) co_return bytes;
  Result<PageBytes> up = co_await bring_up(block, page, *bytes);
  if (up) co_return up;
  co_return bytes;  // no room in memory: where it is will do
}

bool Tiers::earned_memory(const BlockRef& block, PageIndex page) {
  const policy::Decision decided = decide(block, page);
  const policy::Attributes& values = decided.values;
  if (values.tier == policy::TierChoice::nvme || values.promote_after.reads == 0) return false;
  if (values.pin.tier == policy::Pin::Where::memory) return true;
  const PageIndex counted = values.unit == policy::Unit::file ? PageIndex{0xFFFFFFFF} : page;
  const std::uint64_t key = fingerprint(block.id, counted);
  return device_reads_.note(key, values.promote_after.within, parts_.clock.now()) >= values.promote_after.reads;
}

Task<PageBytes> Tiers::bring_up(BlockRef block, PageIndex page, PageBytes bytes) {
  CO_TRY(fill, parts_.memory.begin_fill(block, page));
  const std::span<const std::byte> content = bytes.bytes();
  std::function<Result<bool>()> work = [&fill, content]() -> Result<bool> {
    CHECK_OK(fill.store(content));
    return true;
  };
  Result<bool> stored = co_await parts_.compute.run<bool>(work);
  if (!stored) co_return std::move(stored).error();
  const std::span<const std::uint32_t> checksums = bytes.chunk_checksums();
  std::vector<std::uint32_t> sums(checksums.begin(), checksums.end());
  PageBytes up(parts_.memory.commit(std::move(fill), std::move(sums)));
  up.set_source(Source::device);
  parts_.counters.promoted(content.size());
  device_reads_.forget(fingerprint(block.id, page));
  kept_in_memory(block);
  co_return up;
}

// ---- filling

Placement Tiers::place(const BlockRef& block, PageIndex page, Keep keep) {
  if (keep == Keep::never) return Placement::nowhere;
  const policy::Decision decided = decide(block, page);
  const policy::Attributes& values = decided.values;
  if (keep != Keep::required) {
    if (values.admission == policy::AdmissionRule::never) return Placement::nowhere;
    if (values.admission == policy::AdmissionRule::second_read) {
      const auto now = parts_.clock.now().time_since_epoch();
      if (second_read_->decide(fingerprint(block.id, page), now) == hearth::Admission::bypass) return Placement::nowhere;
    }
  }
  const std::uint64_t bytes = block.page_length_bytes(page);
  const bool device_first = values.tier == policy::TierChoice::nvme || values.pin.tier == policy::Pin::Where::nvme;
  if (device_first && devices_.home(block.id) != nullptr) {
    return quotas_.admit(decided.quotas, policy::CacheTier::nvme, bytes) ? Placement::device : Placement::nowhere;
  }
  if (quotas_.admit(decided.quotas, policy::CacheTier::memory, bytes)) return Placement::memory;
  return place_below(block);
}

void Tiers::note_read(const BlockId& block) {
  mover_.was_read(block);
  quotas_.was_read(block);
}

void Tiers::served(const BlockRef& block, PageIndex page, Source source) {
  if (!observer_.recording()) {
    observer_.saw(block, page, source, 0, {});
    return;
  }
  const std::uint32_t rule = decide(block, page).first_rule;
  const auto recorded = static_cast<std::uint16_t>(std::min<std::uint32_t>(rule, 0xFFFF));
  observer_.saw(block, page, source, recorded, parts_.attachments.path_of(block));
}

bool Tiers::wants_unasked(const BlockRef& block, PageIndex page) const {
  const policy::Decision decided = decide(block, page);
  const policy::Attributes& values = decided.values;
  if (values.admission != policy::AdmissionRule::always) return false;
  const std::uint64_t bytes = block.page_length_bytes(page);
  const bool device_first = values.tier == policy::TierChoice::nvme || values.pin.tier == policy::Pin::Where::nvme;
  if (DiskTier* home = device_first ? devices_.home(block.id) : nullptr; home != nullptr) {
    const DiskTierStats stats = home->stats();
    const bool room = stats.resident_bytes + stats.orphaned_bytes + bytes <= policy_->nvme().high_watermark.of(stats.capacity_bytes);
    return room && quotas_.may_admit(decided.quotas, policy::CacheTier::nvme, bytes);
  }
  return mover_.has_room(bytes) && quotas_.may_admit(decided.quotas, policy::CacheTier::memory, bytes);
}

std::uint64_t Tiers::capacity_for(const BlockRef& block) const {
  const policy::Attributes values = decide(block, std::nullopt).values;
  DiskTier* home = values.tier == policy::TierChoice::memory ? nullptr : devices_.home(block.id);
  const std::uint64_t below = home == nullptr ? 0 : home->stats().capacity_bytes;
  return std::max(below, values.tier == policy::TierChoice::nvme && home != nullptr ? 0 : parts_.memory.stats().capacity_bytes);
}

Placement Tiers::place_below(const BlockRef& block) {
  const policy::Decision decided = decide(block, std::nullopt);
  const bool may = decided.values.tier != policy::TierChoice::memory && devices_.home(block.id) != nullptr;
  const std::uint64_t bytes = std::min<std::uint64_t>(block.page_size_bytes, block.length_bytes);
  return may && quotas_.admit(decided.quotas, policy::CacheTier::nvme, bytes) ? Placement::device : Placement::nowhere;
}

void Tiers::kept_in_memory(const BlockRef& block) {
  note_kept(block, nullptr);
  mover_.nudge();
}

void Tiers::note_kept(const BlockRef& block, DiskTier* device) {
  const policy::Decision decided = decide(block, std::nullopt);
  mover_.kept(block, decided.values);
  quotas_.kept(block.id, decided.quotas);
  pin_as_decided(block, device, decided.values.pin);
}

Task<> Tiers::keep_on_device(BlockRef block, PageIndex page, PageBytes bytes, Deadline deadline) {
  DiskTier* device = devices_.home(block.id);
  if (device == nullptr) co_return Error(Code::unavailable, "no device of this worker takes writes now");
  const std::span<const std::uint32_t> checksums = bytes.chunk_checksums();
  std::vector<std::uint32_t> sums(checksums.begin(), checksums.end());
  mover_.kept(block, decide(block, std::nullopt).values);  // its time to live goes to the device with the page
  Status written = co_await mover_.write(device, block, page, bytes.bytes(), sums, deadline);
  // A page whose wrong bytes are still on their way out.
  for (int again = 0; again < write_again && written.code() == Code::busy; ++again) {
    CO_CHECK_OK(co_await parts_.clock.sleep_for(write_again_after));
    if (devices_.home(block.id) != device) break;
    written = co_await mover_.write(device, block, page, bytes.bytes(), sums, deadline);
  }
  if (!written && written.code() != Code::already_exists) {
    log_warn("device_write_failed", {{"block", block.id.to_hex()}, {"page", page.value},
                                     {"why", written.error().to_string()}});
    co_return written;
  }
  note_kept(block, device);
  if (parts_.presence_changed) parts_.presence_changed();
  co_return ok();
}

void Tiers::pin_as_decided(const BlockRef& block, DiskTier* device, const policy::Pin& pin) {
  const auto within = [&pin, &block](std::uint64_t pinned_bytes, std::uint64_t capacity_bytes) {
    const std::uint64_t budget = pin.budget.bytes == 0 ? capacity_bytes : pin.budget.bytes;
    return pinned_bytes + block.length_bytes <= budget;
  };
  if (pin.tier == policy::Pin::Where::memory && device == nullptr) {
    const MemoryTierStats stats = parts_.memory.stats();
    if (within(stats.pinned_bytes, stats.capacity_bytes)) parts_.memory.pin(block.id, Pinned::yes);
  }
  if (pin.tier == policy::Pin::Where::nvme && device != nullptr) {
    const DiskTierStats stats = device->stats();
    if (within(stats.pinned_bytes, stats.capacity_bytes)) device->pin(block.id, Pinned::yes);
  }
}

// ---- blocks in any tier

BlockResidency Tiers::residency(const BlockRef& block) const {
  BlockResidency total = parts_.memory.residency(block.id);
  if (devices_.empty() || total.complete) return total;
  std::uint32_t resident_pages = 0;
  total.resident_bytes = 0;
  for (std::uint32_t page = 0; page < block.page_count(); ++page) {
    const PageIndex index{page};
    if (!parts_.memory.contains(block.id, index) && !on_device(block, index)) continue;
    resident_pages += 1;
    total.resident_bytes += block.page_length_bytes(index);
  }
  total.present = resident_pages > 0;
  total.complete = resident_pages == block.page_count();
  for (const TierDevices::Device& device : devices_.all()) {
    if (device.tier != nullptr) total.leases += device.tier->residency(block.id).leases;
  }
  return total;
}

BlockResidency Tiers::residency(const BlockId& block) const {
  BlockResidency most = parts_.memory.residency(block);
  for (const TierDevices::Device& device : devices_.all()) {
    if (device.tier == nullptr) continue;
    const BlockResidency here = device.tier->residency(block);
    most.present |= here.present;
    most.complete |= here.complete;
    most.resident_bytes = std::max(most.resident_bytes, here.resident_bytes);
    most.leases += here.leases;
  }
  return most;
}

std::string Tiers::where(const BlockId& block) const {
  std::string names = parts_.memory.residency(block).present ? "memory" : "";
  for (const TierDevices::Device& device : devices_.all()) {
    if (device.tier == nullptr || !device.tier->residency(block).present) continue;
    names += names.empty() ? "nvme" : "+nvme";
  }
  return names;
}

std::uint64_t Tiers::free_block(const BlockId& block) {
  std::uint64_t freed = parts_.memory.free_block(block);
  for (const TierDevices::Device& device : devices_.all()) {
    if (device.tier != nullptr) freed = std::max(freed, device.tier->free_block(block));
  }
  mover_.forget(block);
  quotas_.left(block);
  return freed;
}

void Tiers::drop_corrupt(const BlockId& block, PageIndex page) { parts_.memory.drop_corrupt(block, page); }

PresenceChanges Tiers::take_changes() {
  PresenceChanges changes = parts_.memory.take_changes();
  if (devices_.empty()) {
    for (const BlockId& block : changes.removed) quotas_.left(block);
    return changes;
  }
  std::unordered_set<BlockId, BlockIdHash> touched(changes.added.begin(), changes.added.end());
  touched.insert(changes.removed.begin(), changes.removed.end());
  for (const TierDevices::Device& device : devices_.all()) {
    if (device.tier == nullptr) continue;
    const PresenceChanges below = device.tier->take_changes();
    touched.insert(below.added.begin(), below.added.end());
    touched.insert(below.removed.begin(), below.removed.end());
  }
  touched.insert(left_with_a_device_.begin(), left_with_a_device_.end());
  left_with_a_device_.clear();
  PresenceChanges net;
  for (const BlockId& block : touched) {
    const bool present = residency(block).present;
    (present ? net.added : net.removed).push_back(block);
    if (!present) quotas_.left(block);
  }
  return net;
}

std::vector<BlockId> Tiers::all_blocks() const {
  std::vector<BlockId> blocks = parts_.memory.all_blocks();
  if (devices_.empty()) return blocks;
  std::unordered_set<BlockId, BlockIdHash> all(blocks.begin(), blocks.end());
  for (const TierDevices::Device& device : devices_.all()) {
    if (device.tier == nullptr) continue;
    const std::vector<BlockId> below = device.tier->all_blocks();
    all.insert(below.begin(), below.end());
  }
  return {all.begin(), all.end()};
}

Task<TierGrant> Tiers::grant(BlockRef block, GrantOf what, Deadline deadline) {
  TierGrant made;
  if (mover_.expired(block.id)) free_block(block.id);  // not found below
  if (parts_.memory.residency(block.id).complete) {
    CO_TRY(granted, parts_.memory.grant(block));
    made.grant = std::move(granted);
    co_return made;
  }
  for (const TierDevices::Device& device : devices_.all()) {
    if (device.tier == nullptr || !device.tier->residency(block.id).complete) continue;
    DiskTier* tier = device.tier.get();
    CO_TRY(granted, co_await tier->grant(block, deadline));
    made.grant = std::move(granted);
    made.device = tier;
    co_return made;
  }
  if (what == GrantOf::block_in_filling && where(block.id).find("nvme") == std::string::npos) {
    const policy::Attributes values = decide(block, std::nullopt).values;
    const bool device_first = values.tier == policy::TierChoice::nvme || values.pin.tier == policy::Pin::Where::nvme;
    if (values.admission != policy::AdmissionRule::always || (device_first && devices_.home(block.id) != nullptr)) {
      co_return Error(Code::unsupported, "block " + block.id.to_hex() +
                                             " need not be kept in memory by the policy; read it through the worker");
    }
    CO_TRY(granted, parts_.memory.grant_in_filling(block));
    made.grant = std::move(granted);
    co_return made;
  }
  co_return Error(Code::unavailable, "block " + block.id.to_hex() +
                                         " is not fully resident in one tier; read it through the worker");
}

Result<BlockGrant> Tiers::grant_segment(const BlockRef& block, const BlockId& segment) {
  if (mover_.expired(block.id)) free_block(block.id);  // not found below
  return parts_.memory.grant_segment(block, segment);
}

void Tiers::release(LeaseId lease, DiskTier* device) {
  if (device == nullptr) {
    parts_.memory.release(lease);
  } else if (std::any_of(devices_.all().begin(), devices_.all().end(),
                         [device](const TierDevices::Device& open) { return open.tier.get() == device; })) {
    device->release(lease);  // a device that was closed has ended its leases
  }
}

std::vector<LeaseId> Tiers::leases_to_recall(std::uint64_t bytes) const { return parts_.memory.leases_to_recall(bytes); }

std::vector<TierStatus> Tiers::status() const {
  const MemoryTierStats memory = parts_.memory.stats();
  std::vector<TierStatus> all;
  TierStatus first;
  first.name = "memory";
  first.capacity_bytes = memory.capacity_bytes;
  first.used_bytes = memory.resident_bytes + memory.orphaned_bytes;
  first.blocks = memory.blocks;
  first.state = "healthy";
  all.push_back(std::move(first));
  for (const TierDevices::Device& device : devices_.all()) {
    TierStatus tier;
    tier.name = device.name;
    tier.directory = device.options.directory;
    tier.capacity_bytes = device.options.capacity_bytes;
    if (device.tier == nullptr) {
      tier.state = "absent";
      tier.reason = device.why_not;
      all.push_back(std::move(tier));
      continue;
    }
    tier.device = device.tier->stats();
    tier.capacity_bytes = tier.device.capacity_bytes;
    tier.used_bytes = tier.device.resident_bytes + tier.device.orphaned_bytes;
    tier.blocks = tier.device.blocks;
    tier.state = name(tier.device.state);
    tier.reason = tier.device.state_reason;
    const DiskTraits& traits = device.disk->traits();
    tier.engine = traits.engine + (traits.direct ? ", direct" : ", buffered");
    tier.fallback_reason = traits.fallback_reason;
    all.push_back(std::move(tier));
  }
  return all;
}

}  // namespace hearth::worker
