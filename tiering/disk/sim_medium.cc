// Faults, crashes and the two layers of names (sim_image.cc: those of bytes).
#include "tiering/disk/sim_state.h"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <cassert>
#include <set>
#include <utility>

namespace hearth {
namespace {

bool changes_medium(SimOperation operation) {
  switch (operation) {
    case SimOperation::write:
    case SimOperation::allocate:
    case SimOperation::truncate:
    case SimOperation::punch:
    case SimOperation::remove:
    case SimOperation::rename: return true;
    default: return false;  // an open that creates is refused where it creates
  }
}

}  // namespace

Status SimDiskMedium::State::usable(std::uint64_t of_incarnation) const {
  if (of_incarnation != incarnation) {
    return Error(Code::unavailable, "the simulated machine was restarted: open the disk again");
  }
  if (is_crashed) return Error(Code::unavailable, "the simulated machine crashed: restart it");
  if (access == SimAccess::missing || access == SimAccess::replaced) return Error(Code::unavailable, "the directory of the simulated disk is gone");
  return ok();
}

SimVerdict SimDiskMedium::State::judge(SimOperation operation, const std::string& name, const std::string& other) {
  SimVerdict verdict{.status = ok()};
  const double nanoseconds = static_cast<double>(latency[static_cast<std::size_t>(operation)].count()) * slowdown;
  verdict.delay = Duration(static_cast<Duration::rep>(nanoseconds));
  if (access == SimAccess::read_only && changes_medium(operation)) {
    verdict.status = Error(Code::read_only, "the simulated disk is read-only");
    return verdict;
  }
  for (FaultState& each : faults) {
    const SimDiskFault& fault = each.fault;
    if (fault.operation != operation || (!fault.name.empty() && fault.name != name && fault.name != other)) continue;
    if (each.seen++ < fault.skip || each.hits >= fault.count) continue;
    if (fault.probability < 1 && dice.fraction() >= fault.probability) continue;
    ++each.hits;
    verdict.hangs = fault.effect == SimEffect::hang;
    verdict.is_hit = !verdict.hangs;
    verdict.effect = fault.effect;
    verdict.code = fault.code;
    break;
  }
  return verdict;
}

SimFilePointer SimDiskMedium::State::find(const std::string& name) const {
  const auto found = names.find(name);
  return found == names.end() ? nullptr : found->second;
}

void SimDiskMedium::State::release_if_unused(const SimFilePointer& file) {
  if (file && file->names == 0 && file->open_handles == 0) used -= file->written().allocated_bytes();
}

void SimDiskMedium::State::set_name(const std::string& name, SimFilePointer file) {
  SimFilePointer& place = names[name];
  const SimFilePointer old = std::exchange(place, std::move(file));
  if (place) ++place->names;
  if (!place) names.erase(name);
  if (!old) return;
  --old->names;
  release_if_unused(old);
}

Status SimDiskMedium::State::apply_change(disk::SimFile& file, const disk::SimChange& change) {
  const disk::SimImage& image = file.written();
  const bool adds = change.kind == disk::SimChange::Kind::write || change.kind == disk::SimChange::Kind::reserve;
  if (adds) {
    const bool is_write = change.kind == disk::SimChange::Kind::write;
    const std::uint64_t missing =
        is_write ? image.missing_pages(change.offset, change.bytes.size()) : image.missing_pages(0, change.offset);
    const std::uint64_t free = options.capacity_bytes > used ? options.capacity_bytes - used : 0;
    if (missing * disk_alignment_bytes > free) {
      return Error(Code::no_space, "the simulated disk has " + std::to_string(free) + " bytes left");
    }
  }
  const std::uint64_t before = image.allocated_bytes();
  file.change(change);
  used = used + image.allocated_bytes() - before;
  return ok();
}

Status SimDiskMedium::State::apply(const SimMutation& mutation) {
  switch (mutation.kind) {
    case SimMutation::Kind::change: return apply_change(*mutation.file, mutation.change);
    case SimMutation::Kind::sync: mutation.file->sync(); return ok();
    case SimMutation::Kind::sync_directory:
      unsynced_names.clear();
      durable_names = names;
      return ok();
    case SimMutation::Kind::create:
      if (names.size() >= options.capacity_inodes) return Error(Code::no_space, "the simulated disk has no inodes left");
      set_name(mutation.name, mutation.file);
      break;
    case SimMutation::Kind::remove: set_name(mutation.name, nullptr); break;
    case SimMutation::Kind::rename:
      if (mutation.name == mutation.to) return ok();
      set_name(mutation.to, mutation.file);
      set_name(mutation.name, nullptr);
      break;
  }
  unsynced_names.push_back(mutation);
  return ok();
}

// In the durable layer, where an earlier change may have been lost.
void SimDiskMedium::State::apply_name(const SimMutation& mutation, std::map<std::string, SimFilePointer>& to) const {
  switch (mutation.kind) {
    case SimMutation::Kind::create: to[mutation.name] = mutation.file; break;
    case SimMutation::Kind::remove: to.erase(mutation.name); break;
    case SimMutation::Kind::rename: {
      to[mutation.to] = mutation.file;
      const auto from = to.find(mutation.name);
      if (from != to.end() && from->second == mutation.file) to.erase(from);
      break;
    }
    default: assert(false && "not a change of names");
  }
}

Status SimDiskMedium::State::make(const SimMutation& mutation) {
  if (done >= crash_at && !is_crashed) {
    is_crashed = true;
    begin_flight(mutation);
  }
  if (is_crashed) return Error(Code::unavailable, "the simulated machine crashed: restart it");
  CHECK_OK(apply(mutation));
  ++done;
  return ok();
}

void SimDiskMedium::State::make_partly(const SimMutation& mutation, Rng& by) {
  if (mutation.kind == SimMutation::Kind::change) {
    const std::uint64_t before = mutation.file->written().allocated_bytes();
    mutation.file->change_partly(mutation.change, by);
    used = used + mutation.file->written().allocated_bytes() - before;
  } else if (by.below(2) == 0) {
    const Status made = apply(mutation);  // no room: then it did not happen
    static_cast<void>(made);
  }
}

std::uint64_t SimDiskMedium::State::begin_flight(SimMutation mutation) {
  in_flight.emplace(next_flight, std::move(mutation));
  return next_flight++;
}

void SimDiskMedium::State::restart(SimCrash crash, std::uint64_t seed) {
  SeededRng fate(seed);
  for (const auto& [id, mutation] : std::exchange(in_flight, {})) make_partly(mutation, fate);
  if (crash == SimCrash::power_loss) {
    // In an order that does not depend on addresses, so that a seed means the same in every run.
    std::vector<SimFilePointer> all;
    std::set<const disk::SimFile*> seen;
    auto add = [&](const SimFilePointer& file) {
      if (file && seen.insert(file.get()).second) all.push_back(file);
    };
    for (const auto& [name, file] : names) add(file);
    for (const auto& [name, file] : durable_names) add(file);
    for (const SimMutation& each : unsynced_names) add(each.file);
    for (const SimFilePointer& file : all) file->forget_unsynced(fate);
    for (const SimMutation& each : std::exchange(unsynced_names, {})) {
      if (fate.below(2) == 0) apply_name(each, durable_names);
    }
    names = durable_names;
  }
  ++incarnation;
  is_crashed = false;
  crash_at = UINT64_MAX;
  recount();
  wake_paused(Wake::all);
}

void SimDiskMedium::State::recount() {
  for (const auto& [name, file] : names) {
    file->names = 0;
    file->open_handles = 0;
  }
  used = 0;
  for (const auto& [name, file] : names) {
    if (file->names++ == 0) used += file->written().allocated_bytes();
  }
}

// Posted: a test calls this from outside of the executor.
void wake(const std::shared_ptr<SimPause>& pause) {
  asio::post(pause->executor, [pause] {
    if (pause->done) std::exchange(pause->done, {})(ok());
  });
}

void SimDiskMedium::State::wake_paused(Wake which) {
  for (const std::shared_ptr<SimPause>& each : std::vector(paused)) {
    if (which == Wake::all || each->hangs) wake(each);
  }
}

SimDiskMedium::SimDiskMedium(SimDiskOptions options) : state_(std::make_unique<State>(options)) {}
SimDiskMedium::~SimDiskMedium() = default;

void SimDiskMedium::add_fault(SimDiskFault fault) { state_->faults.push_back({.fault = std::move(fault)}); }
void SimDiskMedium::clear_faults() { state_->faults.clear(); }
void SimDiskMedium::set_access(SimAccess access) { state_->access = access; }
void SimDiskMedium::set_capacity(std::uint64_t bytes, std::uint64_t inodes) {
  state_->options.capacity_bytes = bytes;
  state_->options.capacity_inodes = inodes;
}
void SimDiskMedium::set_latency(SimOperation operation, Duration each) {
  state_->latency[static_cast<std::size_t>(operation)] = each;
}
void SimDiskMedium::set_latency(Duration each) { state_->latency.fill(each); }
void SimDiskMedium::set_slowdown(double factor) { state_->slowdown = factor; }
std::size_t SimDiskMedium::hung() const {
  return static_cast<std::size_t>(
      std::count_if(state_->paused.begin(), state_->paused.end(), [](const auto& each) { return each->hangs; }));
}
void SimDiskMedium::release_hung() { state_->wake_paused(State::Wake::hung); }

std::uint64_t SimDiskMedium::operations_done() const { return state_->done; }
void SimDiskMedium::crash_after(std::uint64_t boundaries) { state_->crash_at = boundaries; }
void SimDiskMedium::crash_now() { state_->is_crashed = true; }
bool SimDiskMedium::crashed() const { return state_->is_crashed; }
void SimDiskMedium::restart(SimCrash crash, std::uint64_t seed) { state_->restart(crash, seed); }

std::vector<std::string> SimDiskMedium::names() const {
  std::vector<std::string> all;
  for (const auto& [name, file] : state_->names) all.push_back(name);
  return all;
}

std::optional<std::vector<std::byte>> SimDiskMedium::content(const std::string& name) const {
  const SimFilePointer file = state_->find(name);
  if (!file) return std::nullopt;
  std::vector<std::byte> bytes(file->written().length_bytes());
  file->written().read(0, bytes);
  return bytes;
}

void SimDiskMedium::plant(const std::string& name, std::span<const std::byte> bytes) {
  erase(name);
  auto file = std::make_shared<disk::SimFile>();
  disk::SimChange change{.kind = disk::SimChange::Kind::write};
  change.bytes.assign(bytes.begin(), bytes.end());
  file->change(std::move(change));
  file->sync();
  file->names = 1;
  state_->used += file->written().allocated_bytes();
  state_->names[name] = file;
  state_->durable_names[name] = std::move(file);
}

bool SimDiskMedium::erase(const std::string& name) {
  std::erase_if(state_->unsynced_names, [&](const SimMutation& each) { return each.name == name || each.to == name; });
  state_->durable_names.erase(name);
  const auto found = state_->names.find(name);
  if (found == state_->names.end()) return false;
  const SimFilePointer file = found->second;
  state_->names.erase(found);
  --file->names;
  state_->release_if_unused(file);
  return true;
}

bool SimDiskMedium::flip_bit(const std::string& name, std::uint64_t offset, unsigned bit) {
  const SimFilePointer file = state_->find(name);
  if (!file || offset >= file->written().length_bytes()) return false;
  const std::uint64_t before = file->written().allocated_bytes();
  file->flip_bit(offset, bit);
  state_->used = state_->used + file->written().allocated_bytes() - before;  // it was a hole
  return true;
}

std::optional<SimDiskMedium::Flip> SimDiskMedium::flip_random_bit(std::uint64_t seed, const std::string& prefix) {
  SeededRng by(seed);
  std::uint64_t total = 0;
  auto counts = [&](const auto& entry) { return entry.first.starts_with(prefix) ? entry.second->written().length_bytes() : 0; };
  for (const auto& entry : state_->names) total += counts(entry);
  if (total == 0) return std::nullopt;
  std::uint64_t at = by.below(total);
  for (const auto& entry : state_->names) {
    const std::uint64_t length = counts(entry);
    if (at >= length) {
      at -= length;
      continue;
    }
    Flip flip{.name = entry.first, .offset = at, .bit = static_cast<unsigned>(by.below(8))};
    flip_bit(flip.name, flip.offset, flip.bit);
    return flip;
  }
  return std::nullopt;
}

std::uint64_t SimDiskMedium::used_bytes() const { return state_->used; }

}  // namespace hearth
