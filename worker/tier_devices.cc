#include "worker/tier_devices.h"

#include "common/log.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace hearth::worker {
namespace {

// Of a file system whose share was not configured: what is left over is for its own bookkeeping.
constexpr std::uint64_t default_capacity_percent = 90;

// A fault that waiting may heal, as opposed to one that somebody has to decide about.
bool may_heal(Code code) {
  return code == Code::not_found || code == Code::unavailable || code == Code::io_error || code == Code::read_only ||
         code == Code::no_space || code == Code::deadline_exceeded;
}

// Rendezvous weight after Schindelhauer and Schomaker: -capacity / ln(uniform in (0, 1)); the largest wins.
double weight(const BlockId& block, std::size_t device, std::uint64_t capacity_bytes) {
  std::uint64_t x = BlockIdHash{}(block) ^ (device + 1) * 0x9E3779B97F4A7C15ULL;
  x ^= x >> 30;
  x *= 0xBF58476D1CE4E5B9ULL;
  x ^= x >> 27;
  x *= 0x94D049BB133111EBULL;
  x ^= x >> 31;
  const double uniform = (static_cast<double>(x >> 11) + 0.5) * 0x1p-53;
  return -static_cast<double>(capacity_bytes) / std::log(uniform);
}

std::string_view class_name(policy::Eviction eviction) {
  switch (eviction) {
    case policy::Eviction::lru: return "lru";
    case policy::Eviction::w_tinylfu: return "w-tinylfu";
    case policy::Eviction::s3_fifo: break;
  }
  return "s3-fifo";
}

}  // namespace

TierDevices::TierDevices(Executor executor, Clock& clock, NvmeOptions options, DiskOpener opener,
                         std::uint64_t worker_id)
    : executor_(executor), clock_(clock), options_(std::move(options)), opener_(std::move(opener)),
      worker_id_(worker_id), maintenance_(executor, clock) {
  for (const NvmeDeviceOptions& device : options_.devices) {
    Device made;
    made.options = device;
    made.name = "nvme" + std::to_string(devices_.size());
    devices_.push_back(std::move(made));
  }
}

TierDevices::~TierDevices() = default;

Task<> TierDevices::open() {
  for (std::size_t index = 0; index < devices_.size(); ++index) {
    CO_CHECK_OK(co_await begin_open(index));
    Device& device = devices_[index];
    if (device.tier != nullptr) continue;
    if (!device.opening && !may_heal(device.opened.code())) {
      co_return Error(device.opened.error()).with_context("NVMe tier in " + device.options.directory);
    }
    log_error("device_not_opened", {{"device", device.name}, {"directory", device.options.directory},
                                    {"why", device.why_not}, {"action", "going on without it, looking again"}});
  }
  if (devices_.empty()) co_return ok();
  co_return maintenance_.spawn(look_again(), "devices");
}

Task<> TierDevices::begin_open(std::size_t index) {
  Device& device = devices_[index];
  device.opening = true;
  CO_CHECK_OK(maintenance_.spawn(try_to_open(index), "open_device"));
  if (!device.opening) co_return ok();
  device.ended = std::make_shared<Event>(executor_);
  const std::shared_ptr<Event> ended = device.ended;
  const Deadline soon = Deadline::after(clock_, options_.open_within);
  Status waited = co_await Event::wait_until(ended, clock_, soon);
  if (waited.code() != Code::deadline_exceeded) co_return waited;
  devices_[index].why_not = "its device does not answer; it is opened when it does";
  co_return ok();  // a device that hangs holds up nobody
}

Task<> TierDevices::try_to_open(std::size_t index) {
  Status opened = co_await open_device(index);
  Device& device = devices_[index];
  device.opening = false;
  if (!opened) {
    const std::string why = opened.error().to_string();
    if (!device.why_not.empty() && why != device.why_not) log_warn("device_absent", {{"device", device.name}, {"directory", device.options.directory}, {"why", why}});
    device.why_not = why;
  }
  device.opened = std::move(opened);
  if (device.ended) device.ended->set();
  co_return ok();
}

Task<> TierDevices::open_device(std::size_t index) {
  Device& device = devices_[index];
  DiskOptions disk_options;
  disk_options.directory = device.options.directory;
  disk_options.engine = options_.engine;
  disk_options.queue_depth = options_.queue_depth;
  CO_TRY(disk, opener_(disk_options, executor_, clock_));
  DiskTierOptions tier_options;
  tier_options.name = device.name;
  tier_options.lock_file = options_.lock ? device.options.directory + "/lock" : "";
  tier_options.worker_id = worker_id_;
  tier_options.capacity_bytes = device.options.capacity_bytes;
  tier_options.scrub_bytes_per_second = options_.scrub_bytes_per_second;
  tier_options.if_unreadable = options_.if_unreadable;
  tier_options.health = options_.health;
  if (tier_options.capacity_bytes == 0) {
    CO_TRY(space, co_await disk->space());
    tier_options.capacity_bytes = space.total_bytes / 100 * default_capacity_percent;
  }
  CO_TRY(policy, make_policy(class_name(settings_.eviction)));
  Result<std::unique_ptr<DiskTier>> tier = co_await DiskTier::open(tier_options, *disk, clock_, std::move(policy));
  if (!tier) {
    co_await disk->shut_down();
    co_return std::move(tier).error();
  }
  const DiskTraits& traits = disk->traits();
  const DiskTierStats stats = (*tier)->stats();
  log_info("device_opened", {{"device", device.name}, {"directory", device.options.directory},
                             {"engine", traits.engine}, {"direct", traits.direct ? "yes" : "no"},
                             {"fallback_reason", traits.fallback_reason}, {"capacity_bytes", stats.capacity_bytes},
                             {"recovered_pages", stats.recovered_pages}});
  if (maintenance_.closed()) {  // the worker stopped meanwhile
    Status closed = Error(Code::deadline_exceeded, "not yet");
    while (closed.code() == Code::deadline_exceeded) {  // it can not be destroyed before; close() waits no longer than it may
      const Deadline soon = Deadline::after(clock_, options_.close_within);
      closed = co_await (*tier)->shut_down(soon);
    }
    if (closed) closed = co_await disk->shut_down();
    co_return closed;
  }
  device.disk = std::move(disk);
  device.tier = std::move(tier).value();
  device.why_not.clear();
  set_watermarks(*device.tier);
  if (opened_) opened_(*device.tier);
  co_return maintenance_.spawn(device.tier->maintain(), "device_maintenance");
}

void TierDevices::set_watermarks(DiskTier& tier) const {
  constexpr double whole = 10'000;
  tier.set_watermarks(settings_.low_watermark.hundredths / whole, settings_.high_watermark.hundredths / whole);
}

void TierDevices::use(const policy::TierSettings& settings) {
  const bool other_class = settings.eviction != settings_.eviction;
  settings_ = settings;
  for (Device& device : devices_) {
    if (device.tier == nullptr) continue;
    set_watermarks(*device.tier);
    if (other_class) device.tier->set_eviction(make_policy(class_name(settings_.eviction)).value());
  }
}

Task<> TierDevices::look_again() {
  while (true) {
    Status slept = co_await clock_.sleep_for(options_.look_again_every);
    if (!slept || maintenance_.closed()) co_return ok();
    co_await bury_retired();
    for (std::size_t index = 0; index < devices_.size(); ++index) {
      const Device& device = devices_[index];
      if (maintenance_.closed()) co_return ok();
      if (device.opening) continue;
      if (device.tier != nullptr && device.tier->stats().replaced) co_await retire(index);
      if (device.tier != nullptr) continue;
      Status begun = co_await begin_open(index);
      if (!begun) co_return ok();
    }
  }
}

// Its blocks are absent since it was fenced. Nobody finds the tier from here on; who is in it is let out first.
Task<> TierDevices::retire(std::size_t index) {
  Device& device = devices_[index];
  device.why_not = device.tier->stats().state_reason;
  log_warn("device_replaced", {{"device", device.name}, {"directory", device.options.directory}, {"why", device.why_not},
                               {"action", "opening what is there now"}});
  if (closed_) closed_(*device.tier);
  Retired old;
  old.name = device.name;
  old.disk = std::move(device.disk);
  old.tier = std::move(device.tier);
  DiskTier* tier = old.tier.get();
  retired_.push_back(std::move(old));
  const Deadline deadline = Deadline::after(clock_, options_.close_within);
  Status ended = co_await tier->shut_down(deadline);
  for (Retired& each : retired_) each.ended |= each.tier.get() == tier && ended.has_value();
  co_return ok();  // a device that hangs keeps its memory until it answers
}

Task<> TierDevices::bury_retired() {
  for (std::size_t left = retired_.size(); left > 0; --left) {
    Retired old = std::move(retired_.front());
    retired_.erase(retired_.begin());
    const Deadline deadline = Deadline::after(clock_, std::chrono::milliseconds(10));
    if (!old.ended) {
      Status ended = co_await old.tier->shut_down(deadline);
      old.ended = ended.has_value();
    }
    if (!old.ended) {
      retired_.push_back(std::move(old));
      continue;
    }
    Status closed = co_await old.disk->shut_down();
    if (!closed) log_warn("device_not_closed", {{"device", old.name}, {"why", closed.error().to_string()}});
  }
  co_return ok();
}

Task<> TierDevices::close(Deadline deadline) {
  // First what opens devices, so that none comes while the others go.
  opened_ = nullptr;
  maintenance_.close();
  Status first = ok();
  for (Device& device : devices_) {
    if (device.tier == nullptr) continue;
    Status closed = co_await device.tier->shut_down(deadline);
    if (!closed) log_warn("device_not_closed", {{"device", device.name}, {"why", closed.error().to_string()}});
    const bool hangs = closed.code() == Code::deadline_exceeded;
    if (hangs || (!closed && first)) first = std::move(closed);
  }
  if (first.code() == Code::deadline_exceeded) co_return first;  // its calls still use what would go now
  maintenance_.cancel();
  CO_CHECK_OK(co_await maintenance_.drain(deadline));  // not while a device hangs that is being opened
  co_await bury_retired();
  if (!retired_.empty()) co_return Error(Code::deadline_exceeded, "device " + retired_.front().name + ", which was replaced, still does not answer");
  for (Device& device : devices_) {
    if (device.disk == nullptr) continue;
    Status closed = co_await device.disk->shut_down();
    if (!closed && first) first = std::move(closed);
    device.tier.reset();
    device.disk.reset();
    device.why_not = "closed";
  }
  co_return first;
}

DiskTier* TierDevices::holder(const BlockRef& block, PageIndex page) const {
  for (const Device& device : devices_) {
    if (device.tier != nullptr && device.tier->lookup(block, page)) return device.tier.get();
  }
  return nullptr;
}

DiskTier* TierDevices::home(const BlockId& block) const {
  DiskTier* best = nullptr;
  double best_weight = -1;
  for (std::size_t index = 0; index < devices_.size(); ++index) {
    DiskTier* tier = devices_[index].tier.get();
    if (tier == nullptr) continue;
    const DiskTierStats stats = tier->stats();
    if (stats.state != DeviceState::healthy) continue;
    if (tier->residency(block).present) return tier;
    const double own = weight(block, index, stats.capacity_bytes);
    if (own <= best_weight) continue;
    best = tier;
    best_weight = own;
  }
  return best;
}

}  // namespace hearth::worker
