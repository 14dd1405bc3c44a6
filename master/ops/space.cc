// Room in under-stores: each is asked at most every few seconds, once at a time, and nobody waits long for one that is away.
#include "master/metadata_service.h"

#include <algorithm>
#include <set>

namespace hearth::master {

namespace {

constexpr Duration room_fresh_for = std::chrono::seconds(5);
constexpr Duration room_patience = std::chrono::seconds(1);  // of one asker, with all stores together

bool lies_at_or_below(const std::string& root, const std::string& path) {
  if (root == "/" || path == root) return true;
  return path.starts_with(root + "/");
}

}  // namespace

Task<> MetadataService::run_room(AttachmentId attachment, std::shared_ptr<Flight<>> flight) {
  const Deadline deadline = Deadline::after(parts_.clock, options_.store_deadline);
  Result<std::optional<StoreSpace>> answer;
  const Result<AttachmentRow> row = still_attached(attachment);
  if (row) {
    Result<std::shared_ptr<UnderStore>> store = co_await stores_.of(attachment, row->uri, row->settings.store_options, deadline);
    if (store) answer = co_await (*store)->space(deadline);
  }
  const auto found = rooms_.find(attachment);
  if (found != rooms_.end() && found->second.asking == flight) {
    StoreRoom& room = found->second;
    room.asking = nullptr;
    if (answer) room.known = *answer ? StoreRoom::Known::limited : StoreRoom::Known::without_limit;
    if (answer && *answer) room.space = std::move(**answer);
  }
  flight->land(ok());
  co_return ok();
}

Task<SpaceView> MetadataService::space(NamespacePath path, Deadline deadline) {
  std::vector<AttachmentId> ids;
  const AttachmentRow* owner = namespace_->attachments().owner(path);
  if (owner != nullptr) {
    ids.push_back(owner->id);
  } else {
    for (const AttachmentRow& row : namespace_->attachments().all()) {
      if (lies_at_or_below(path.text(), row.path)) ids.push_back(row.id);
    }
  }
  const TimePoint began = parts_.clock.now();
  for (const AttachmentId id : ids) {
    const auto known = rooms_.find(id);
    const bool asked = known != rooms_.end() && (known->second.asking || began - known->second.asked_at < room_fresh_for);
    if (asked) continue;
    auto flight = std::make_shared<Flight<>>(namespace_->next_moment(began));
    rooms_[id].asking = flight;
    rooms_[id].asked_at = began;
    const Status spawned = tasks_.spawn(run_room(id, std::move(flight)), "ask_for_room");
    if (!spawned) rooms_[id].asking = nullptr;  // the master stops
  }
  const Deadline until = deadline.sooner_of(Deadline::after(parts_.clock, room_patience));
  for (const AttachmentId id : ids) {
    const auto found = rooms_.find(id);
    const std::shared_ptr<Flight<>> asking = found == rooms_.end() ? nullptr : found->second.asking;
    // Whoever asked before waited for it in vain.
    if (!asking || began - found->second.asked_at > room_patience) continue;
    static_cast<void>(co_await board_.wait(asking, until, "asking for room"));
  }
  SpaceView out;
  std::set<std::string> places;
  for (const AttachmentId id : ids) {
    const auto found = rooms_.find(id);
    if (found == rooms_.end() || found->second.known == StoreRoom::Known::nothing) continue;
    const StoreRoom& room = found->second;
    if (room.known == StoreRoom::Known::without_limit) {
      out.without_limit = true;
      continue;
    }
    if (!places.insert(room.space.place).second) continue;
    out.known = true;
    out.total_bytes += room.space.total_bytes;
    out.free_bytes += room.space.free_bytes;
    out.available_bytes += room.space.available_bytes;
    out.files += room.space.files;
    out.free_files += room.space.free_files;
  }
  co_return out;
}

}  // namespace hearth::master
