#include "tiering/disk/sim_disk.h"

#include "common/canceller.h"
#include "tiering/disk/buffer_pool.h"
#include "tiering/disk/disk_name.h"
#include "tiering/disk/file_table.h"
#include "tiering/disk/operation_gate.h"
#include "tiering/disk/sim_state.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>

#include <algorithm>
#include <cassert>
#include <exception>
#include <list>
#include <optional>
#include <utility>

namespace hearth {
namespace {

using disk::FileTable;
using disk::OperationGate;
using disk::SimChange;
using State = SimDiskMedium::State;

struct OpenSimFile {
  std::string name;
  SimFilePointer file;
  DiskCaching caching = DiskCaching::direct;
};

struct SimCall {
  SimOperation operation = SimOperation::read;
  std::string name{};
  std::string other{};
  std::optional<SimMutation> change{};  // half made when the machine dies meanwhile
};

class SimDisk final : public Disk {
 public:
  SimDisk(std::shared_ptr<SimDiskMedium> medium, State& state, Executor executor, Clock& clock)
      : medium_(std::move(medium)), state_(state), executor_(executor), clock_(clock), incarnation_(state.incarnation),
        gate_(executor, state.options.queue_depth, state.options.max_waiting) {
    traits_.engine = "simulated";
    traits_.direct = true;
  }
  ~SimDisk() override;

  const DiskTraits& traits() const override { return traits_; }
  DiskBuffer buffer(std::uint64_t length_bytes) override { return disk::plain_buffer(length_bytes); }
  Task<DiskFileId> open(std::string name, DiskOpen how, DiskCaching caching) override;
  Task<> close(DiskFileId file) override;
  Task<> read(DiskFileId file, std::uint64_t offset, std::span<std::byte> into) override;
  Task<> write(DiskFileId file, std::uint64_t offset, std::span<const std::byte> bytes) override;
  Task<> sync(DiskFileId file) override;
  Task<> allocate(DiskFileId file, std::uint64_t length_bytes) override;
  Task<> truncate(DiskFileId file, std::uint64_t length_bytes) override;
  Task<> punch(DiskFileId file, std::uint64_t offset, std::uint64_t length_bytes) override;
  Task<std::uint64_t> length_bytes(DiskFileId file) override;
  Result<UniqueFd> share(DiskFileId file) override;
  Task<> remove(std::string name) override;
  Task<> rename(std::string from, std::string to) override;
  Task<> sync_directory() override;
  Task<std::vector<DiskEntry>> list(std::string after, std::size_t limit) override;
  Task<DiskSpace> space() override;
  Task<> check_place() override;
  Task<> shut_down() override;

 private:
  using Slot = FileTable<OpenSimFile>::Slot;

  Task<SimVerdict> begin(SimCall call);
  Task<SimVerdict> begin_on(Slot* slot, SimCall call);
  Task<> pause(Duration delay, bool hangs);
  Status answer(const SimVerdict& verdict, const SimMutation& change);
  Task<> change_file(SimOperation operation, DiskFileId file, SimMutation change);
  void leave(Slot* slot);
  void done_with(Slot* slot);
  Result<DiskFileId> open_now(const std::string& name, DiskOpen how, DiskCaching caching);
  void forget(DiskFileId file);

  // Set once
  std::shared_ptr<SimDiskMedium> medium_;  // shared with the test
  State& state_;
  Executor executor_;
  Clock& clock_;
  std::uint64_t incarnation_;
  DiskTraits traits_;
  // Executor only
  OperationGate gate_;
  FileTable<OpenSimFile> files_;
  std::vector<std::shared_ptr<SimPause>> paused_;
  std::list<Canceller> alarms_;
};

SimDisk::~SimDisk() {
  for (const auto& pause : paused_) {
    std::erase(state_.paused, pause);
    pause->done = {};
  }
  for (Canceller& each : alarms_) each.cancel();
}

Task<> sleep_then_wake(Clock& clock, TimePoint due, std::shared_ptr<SimPause> pause) {
  auto slept = co_await clock.sleep_until(due);
  if (slept) wake(pause);
  co_return ok();
}

// Ends only when the time has come or the medium says so: a cancelled caller waits too, as for a real disk.
Task<> SimDisk::pause(Duration delay, bool hangs) {
  const TimePoint due = clock_.now() + delay;
  const auto waiting = std::make_shared<SimPause>(SimPause{.executor = executor_, .hangs = hangs});
  state_.paused.push_back(waiting);
  paused_.push_back(waiting);
  const auto alarm = alarms_.emplace(alarms_.end(), executor_);
  auto start = [this, waiting, due, alarm](disk::Completion<> done) {
    waiting->done = std::move(done);
    if (waiting->hangs) return;
    auto ended = [](const std::exception_ptr&, const Status&) {};
    asio::co_spawn(executor_, sleep_then_wake(clock_, due, waiting), asio::bind_cancellation_slot(alarm->slot(), ended));
  };
  auto woken = co_await disk::await_completion<>(start);
  std::erase(state_.paused, waiting);
  std::erase(paused_, waiting);
  alarms_.erase(alarm);
  co_return woken;
}

// On success the caller has entered the gate.
Task<SimVerdict> SimDisk::begin(SimCall call) {
  CO_CHECK_OK(co_await gate_.enter());
  Status usable = state_.usable(incarnation_);
  if (!usable) {
    gate_.leave();
    co_return std::move(usable).error();
  }
  SimVerdict verdict = state_.judge(call.operation, call.name, call.other);
  if (verdict.status && (verdict.hangs || verdict.delay > Duration::zero())) {
    const std::uint64_t flight = call.change ? state_.begin_flight(std::move(*call.change)) : 0;
    Status paused = co_await pause(verdict.delay, verdict.hangs);
    state_.end_flight(flight);
    verdict.status = paused ? state_.usable(incarnation_) : std::move(paused);
  }
  if (!verdict.status) {
    gate_.leave();
    co_return std::move(verdict.status).error();
  }
  const bool says_no = verdict.is_hit && verdict.effect == SimEffect::fail;
  if (says_no) {
    gate_.leave();
    co_return Error(verdict.code, "'" + call.name + "' on the simulated disk failed as the test asked");
  }
  co_return verdict;
}

Status SimDisk::answer(const SimVerdict& verdict, const SimMutation& change) {
  if (!verdict.is_hit) return state_.make(change);
  switch (verdict.effect) {
    case SimEffect::lose: return ok();
    case SimEffect::tear: state_.make_partly(change, state_.dice); return ok();
    case SimEffect::fail_partly: state_.make_partly(change, state_.dice); break;
    default: return state_.make(change);
  }
  return Error(verdict.code, "the simulated disk did a part of it and failed, as the test asked");
}

// As begin(), and the file stays open until leave().
Task<SimVerdict> SimDisk::begin_on(Slot* slot, SimCall call) {
  ++slot->in_flight;
  call.name = slot->entry.name;
  auto verdict = co_await begin(std::move(call));
  if (!verdict) done_with(slot);
  co_return verdict;
}

void SimDisk::leave(Slot* slot) {
  gate_.leave();
  done_with(slot);
}

void SimDisk::done_with(Slot* slot) {
  if (--slot->in_flight > 0 || !slot->closer) return;
  auto closed = std::make_shared<SimPause>(SimPause{.executor = executor_, .done = std::move(slot->closer)});
  wake(closed);
}

Result<DiskFileId> SimDisk::open_now(const std::string& name, DiskOpen how, DiskCaching caching) {
  SimFilePointer file = state_.find(name);
  if (file && how == DiskOpen::create_new) return Error(Code::already_exists, "cache file '" + name + "' exists already");
  if (!file) {
    if (how == DiskOpen::existing) return Error(Code::not_found, "cache file '" + name + "' does not exist");
    if (state_.access == SimAccess::read_only) return Error(Code::read_only, "the simulated disk is read-only");
    file = std::make_shared<disk::SimFile>();
    SimMutation create{.kind = SimMutation::Kind::create, .file = file, .name = name};
    CHECK_OK(state_.make(create));
  }
  ++file->open_handles;
  return files_.add({.name = name, .file = file, .caching = caching}).first;
}

Task<DiskFileId> SimDisk::open(std::string name, DiskOpen how, DiskCaching caching) {
  CO_CHECK_OK(disk::check_name(name));
  SimCall call{.operation = SimOperation::open, .name = name};
  auto verdict = co_await begin(std::move(call));
  if (!verdict) co_return std::move(verdict).error();
  auto opened = open_now(name, how, caching);
  gate_.leave();
  co_return opened;
}

void SimDisk::forget(DiskFileId file) {
  const SimFilePointer closed = files_.remove(file).file;
  if (incarnation_ != state_.incarnation) return;
  --closed->open_handles;
  state_.release_if_unused(closed);
}

Task<> SimDisk::close(DiskFileId file) {
  Slot* slot = files_.find(file);
  if (slot == nullptr) co_return disk::not_open(file);
  slot->closing = true;
  if (slot->in_flight > 0) {
    auto wait = [slot](disk::Completion<> done) { slot->closer = std::move(done); };
    CO_CHECK_OK(co_await disk::await_completion<>(wait));
  }
  SimCall call{.operation = SimOperation::close, .name = slot->entry.name};
  auto verdict = co_await begin(std::move(call));
  forget(file);
  if (!verdict) co_return std::move(verdict).error();
  gate_.leave();
  co_return ok();
}

Task<> SimDisk::read(DiskFileId file, std::uint64_t offset, std::span<std::byte> into) {
  Slot* slot = files_.find(file);
  if (slot == nullptr) co_return disk::not_open(file);
  CO_CHECK_OK(disk::check_range(slot->entry.caching, offset, into.data(), into.size()));
  SimCall call{.operation = SimOperation::read};
  auto verdict = co_await begin_on(slot, std::move(call));
  if (!verdict) co_return std::move(verdict).error();
  const disk::SimImage& image = slot->entry.file->written();
  Status status = ok();
  if (!into.empty() && offset + into.size() > image.length_bytes()) {
    status = disk::short_read(slot->entry.name, offset, into.size());
  } else {
    image.read(offset, into);
  }
  if (verdict->is_hit && verdict->effect == SimEffect::flip && !into.empty()) {
    into[state_.dice.below(into.size())] ^= std::byte{static_cast<unsigned char>(1U << state_.dice.below(8))};
  }
  leave(slot);
  co_return status;
}

Task<> SimDisk::change_file(SimOperation operation, DiskFileId file, SimMutation change) {
  Slot* slot = files_.find(file);
  if (slot == nullptr) co_return disk::not_open(file);
  change.file = slot->entry.file;
  SimCall call{.operation = operation, .change = change};
  auto verdict = co_await begin_on(slot, std::move(call));
  if (!verdict) co_return std::move(verdict).error();
  Status status = answer(*verdict, change);
  leave(slot);
  co_return status;
}

Task<> SimDisk::write(DiskFileId file, std::uint64_t offset, std::span<const std::byte> bytes) {
  Slot* slot = files_.find(file);
  if (slot == nullptr) co_return disk::not_open(file);
  CO_CHECK_OK(disk::check_range(slot->entry.caching, offset, bytes.data(), bytes.size()));
  SimMutation change{.kind = SimMutation::Kind::change};
  change.change.kind = SimChange::Kind::write;
  change.change.offset = offset;
  change.change.bytes.assign(bytes.begin(), bytes.end());
  auto written = co_await change_file(SimOperation::write, file, std::move(change));
  co_return written;
}

Task<> SimDisk::sync(DiskFileId file) {
  SimMutation change{.kind = SimMutation::Kind::sync};
  auto synced = co_await change_file(SimOperation::sync, file, std::move(change));
  co_return synced;
}

SimMutation sized(SimChange::Kind kind, std::uint64_t offset, std::uint64_t length_bytes) {
  SimMutation change{.kind = SimMutation::Kind::change};
  change.change.kind = kind;
  change.change.offset = offset;
  change.change.length_bytes = length_bytes;
  return change;
}

Task<> SimDisk::allocate(DiskFileId file, std::uint64_t length_bytes) {
  SimMutation change = sized(SimChange::Kind::reserve, length_bytes, 0);
  auto changed = co_await change_file(SimOperation::allocate, file, std::move(change));
  co_return changed;
}

Task<> SimDisk::truncate(DiskFileId file, std::uint64_t length_bytes) {
  SimMutation change = sized(SimChange::Kind::truncate, length_bytes, 0);
  auto changed = co_await change_file(SimOperation::truncate, file, std::move(change));
  co_return changed;
}

Task<> SimDisk::punch(DiskFileId file, std::uint64_t offset, std::uint64_t length_bytes) {
  SimMutation change = sized(SimChange::Kind::punch, offset, length_bytes);
  auto changed = co_await change_file(SimOperation::punch, file, std::move(change));
  co_return changed;
}

Task<std::uint64_t> SimDisk::length_bytes(DiskFileId file) {
  Slot* slot = files_.find(file);
  if (slot == nullptr) co_return disk::not_open(file);
  SimCall call{.operation = SimOperation::length_bytes};
  auto verdict = co_await begin_on(slot, std::move(call));
  if (!verdict) co_return std::move(verdict).error();
  const std::uint64_t length = slot->entry.file->written().length_bytes();
  leave(slot);
  co_return length;
}

Result<UniqueFd> SimDisk::share(DiskFileId) {
  return Error(Code::unsupported, "a simulated disk has no descriptors to share");
}

Task<> SimDisk::remove(std::string name) {
  CO_CHECK_OK(disk::check_name(name));
  SimMutation change{.kind = SimMutation::Kind::remove, .name = name};
  SimCall call{.operation = SimOperation::remove, .name = name, .change = change};
  auto verdict = co_await begin(std::move(call));
  if (!verdict) co_return std::move(verdict).error();
  Status status = ok();
  if (state_.find(name)) {
    status = answer(*verdict, change);
  } else {
    status = Error(Code::not_found, "cache file '" + name + "' does not exist");
  }
  gate_.leave();
  co_return status;
}

Task<> SimDisk::rename(std::string from, std::string to) {
  CO_CHECK_OK(disk::check_name(from));
  CO_CHECK_OK(disk::check_name(to));
  SimMutation change{.kind = SimMutation::Kind::rename, .file = state_.find(from), .name = from, .to = to};
  SimCall call{.operation = SimOperation::rename, .name = from, .other = to};
  if (change.file) call.change = change;
  auto verdict = co_await begin(std::move(call));
  if (!verdict) co_return std::move(verdict).error();
  change.file = state_.find(from);
  Status status = ok();
  if (change.file) {
    status = answer(*verdict, change);
  } else {
    status = Error(Code::not_found, "cache file '" + from + "' does not exist");
  }
  gate_.leave();
  co_return status;
}

Task<> SimDisk::sync_directory() {
  SimMutation change{.kind = SimMutation::Kind::sync_directory};
  SimCall call{.operation = SimOperation::sync_directory, .change = change};
  auto verdict = co_await begin(std::move(call));
  if (!verdict) co_return std::move(verdict).error();
  Status status = answer(*verdict, change);
  gate_.leave();
  co_return status;
}

Task<std::vector<DiskEntry>> SimDisk::list(std::string after, std::size_t limit) {
  SimCall call{.operation = SimOperation::list};
  auto verdict = co_await begin(std::move(call));
  if (!verdict) co_return std::move(verdict).error();
  std::vector<DiskEntry> found;
  for (auto at = state_.names.upper_bound(after); at != state_.names.end() && found.size() < limit; ++at) {
    const disk::SimImage& image = at->second->written();
    found.push_back({.name = at->first, .length_bytes = image.length_bytes(), .allocated_bytes = image.allocated_bytes()});
  }
  gate_.leave();
  co_return found;
}

Task<DiskSpace> SimDisk::space() {
  SimCall call{.operation = SimOperation::space};
  auto verdict = co_await begin(std::move(call));
  if (!verdict) co_return std::move(verdict).error();
  const SimDiskOptions& options = state_.options;
  DiskSpace space;
  space.total_bytes = options.capacity_bytes;
  space.free_bytes = options.capacity_bytes > state_.used ? options.capacity_bytes - state_.used : 0;
  space.free_inodes = options.capacity_inodes > state_.names.size() ? options.capacity_inodes - state_.names.size() : 0;
  gate_.leave();
  co_return space;
}

Task<> SimDisk::check_place() {
  if (state_.access == SimAccess::replaced) co_return Error(Code::stale, "another directory is in the place of the simulated disk");
  co_return state_.usable(incarnation_);
}

Task<> SimDisk::shut_down() {
  CO_CHECK_OK(co_await gate_.drain());
  for (const DiskFileId file : files_.ids()) forget(file);
  co_return ok();
}

}  // namespace

std::unique_ptr<Disk> open_sim_disk(std::shared_ptr<SimDiskMedium> medium, Executor executor, Clock& clock) {
  SimDiskMedium::State& state = *medium->state_;
  return std::make_unique<SimDisk>(std::move(medium), state, std::move(executor), clock);
}

}  // namespace hearth
