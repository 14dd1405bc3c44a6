#include "master/membership.h"

#include <algorithm>

namespace hearth::master {

namespace {

std::string worker_name(WorkerId worker) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out(16, '0');
  for (std::size_t i = 0; i < 16; ++i) out[i] = digits[(worker.value >> (60 - 4 * i)) & 15];
  return out;
}

Error wrong_epoch(WorkerId worker) {
  return Error(Code::wrong_epoch, "worker " + worker_name(worker) +
                                      " is not registered under this epoch (replaced, declared lost, or the master restarted); register again");
}

bool begins(PresenceReport::Part part) {
  return part == PresenceReport::Part::first || part == PresenceReport::Part::whole;
}
bool ends(PresenceReport::Part part) {
  return part == PresenceReport::Part::last || part == PresenceReport::Part::whole;
}

WorkerState state_of(const WorkerFigures& figures) {
  return figures.mode == WorkerFigures::Mode::draining ? WorkerState::draining : WorkerState::live;
}

}  // namespace

void Membership::drop_slots(Member& member) {
  if (member.slot) blocks_.drop_slot(*member.slot);
  if (member.filling) blocks_.drop_slot(*member.filling);
  member.slot.reset();
  member.filling.reset();
}

std::uint64_t Membership::register_worker(WorkerId worker, WorkerFigures figures, TimePoint now) {
  Member& member = members_[worker];
  drop_slots(member);
  member.state = state_of(figures);
  member.figures = std::move(figures);
  member.epoch = ++last_epoch_;
  member.sequence = 0;
  member.has_full = false;
  member.slot = blocks_.open_slot(worker);
  member.heard = now;
  ++table_version_;
  return member.epoch;
}

Result<NextReport> Membership::heartbeat(const PresenceReport& report, std::optional<WorkerFigures> figures,
                                         TimePoint now) {
  const auto found = members_.find(report.worker);
  if (found == members_.end() || found->second.epoch != report.epoch || found->second.state == WorkerState::lost) {
    return wrong_epoch(report.worker);
  }
  Member& member = found->second;
  member.heard = now;
  if (report.sequence < member.sequence) return NextReport::delta;  // late: a newer one has taken effect
  if (figures) {
    if (state_of(*figures) != member.state || figures->address != member.figures.address ||
        figures->local_socket != member.figures.local_socket || figures->capacity_bytes != member.figures.capacity_bytes) {
      ++table_version_;
    }
    member.state = state_of(*figures);
    member.figures = std::move(*figures);
  }
  if (report.sequence > member.sequence + 1 && !begins(report.part)) {
    break_full(member);
    member.has_full = false;
  }
  member.sequence = report.sequence;
  apply(member, report);
  return member.has_full || member.filling ? NextReport::delta : NextReport::full;
}

void Membership::apply(Member& member, const PresenceReport& report) {
  if (begins(report.part)) begin_full(report.worker, member);
  for (const BlockId& block : report.removed) {
    blocks_.remove(block, *member.slot);
    if (member.filling) blocks_.remove(block, *member.filling);
  }
  const SlotIndex target = member.filling ? *member.filling : *member.slot;
  for (const BlockId& block : report.added) blocks_.add(block, target);
  if (ends(report.part) && member.filling) {
    blocks_.drop_slot(*member.slot);
    member.slot = member.filling;
    member.filling.reset();
    member.has_full = true;
  }
}

void Membership::begin_full(WorkerId worker, Member& member) {
  break_full(member);
  member.filling = blocks_.open_slot(worker);
}

void Membership::break_full(Member& member) {
  if (!member.filling) return;
  blocks_.drop_slot(*member.filling);
  member.filling.reset();
}

Status Membership::deregister(WorkerId worker, std::uint64_t epoch) {
  const auto found = members_.find(worker);
  if (found == members_.end() || found->second.epoch != epoch) return wrong_epoch(worker);
  drop_slots(found->second);
  members_.erase(found);
  ++table_version_;
  return ok();
}

std::vector<WorkerId> Membership::expire(TimePoint now) {
  std::vector<WorkerId> lost;
  for (auto at = members_.begin(); at != members_.end();) {
    Member& member = at->second;
    const Duration silent = now - member.heard;
    if (member.state == WorkerState::lost && silent >= forget_after) {
      at = members_.erase(at);
      ++table_version_;
      continue;
    }
    if (member.state != WorkerState::lost && silent >= lost_after_) {
      drop_slots(member);
      member.state = WorkerState::lost;
      ++table_version_;
      lost.push_back(at->first);
    }
    ++at;
  }
  return lost;
}

void Membership::bad_location(const BlockId& block, WorkerId worker) {
  const auto found = members_.find(worker);
  if (found == members_.end()) return;
  if (found->second.slot) blocks_.remove(block, *found->second.slot);
  if (found->second.filling) blocks_.remove(block, *found->second.filling);
}

std::vector<WorkerRow> Membership::rows(TimePoint now) const {
  std::vector<WorkerRow> out;
  for (const auto& [id, member] : members_) {
    WorkerRow row;
    row.id = id;
    row.figures = member.figures;
    row.state = member.state;
    row.since_heartbeat = now - member.heard;
    if (member.slot) row.block_count = blocks_.count(*member.slot);
    if (member.filling) row.block_count = std::max(row.block_count, blocks_.count(*member.filling));
    out.push_back(std::move(row));
  }
  return out;
}

std::optional<std::string> Membership::address(WorkerId worker) const {
  const auto found = members_.find(worker);
  if (found == members_.end() || found->second.state == WorkerState::lost) return std::nullopt;
  return found->second.figures.address;
}

std::size_t Membership::count(WorkerState state) const {
  return static_cast<std::size_t>(
      std::count_if(members_.begin(), members_.end(), [&](const auto& entry) { return entry.second.state == state; }));
}

}  // namespace hearth::master
