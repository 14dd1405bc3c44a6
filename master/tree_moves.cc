#include "master/tree_moves.h"

#include "master/meta_keys.h"

#include <algorithm>

namespace hearth::master {

namespace {

constexpr std::size_t max_renamed = 1000;
// Beyond the metadata_ttl: what a question that is under way, or a listing page by page, may still bring from before.
constexpr Duration remembered_for = std::chrono::minutes(15);

std::string_view next_component(std::string_view& rest) {
  const std::size_t end = rest.find('/');
  const std::string_view first = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  return first;
}

}  // namespace

bool lies_in(std::string_view path, std::string_view top) {
  if (top.empty()) return true;
  return path.starts_with(top) && (path.size() == top.size() || path[top.size()] == '/');
}

TreeMoves::~TreeMoves() = default;

Result<std::unique_ptr<TreeMoves>> TreeMoves::open(Parts parts) {
  std::unique_ptr<TreeMoves> self(new TreeMoves(std::move(parts)));
  self->next_ = (self->parts_.tree.run() << 32) + 1;  // a number of an earlier run is never another job
  CHECK_OK(self->load());
  return self;
}

Status TreeMoves::load() {
  std::string after;
  for (;;) {
    TRY(rows, parts_.store.scan(Family::meta, meta_keys::move_prefix, after, max_renamed));
    if (rows.empty()) break;
    for (const Row& row : rows) {
      TRY(id, number_from_key(std::string_view(row.first).substr(meta_keys::move_prefix.size())));
      TRY(move, decode_move(id, row.second));
      const JobHandle job = add(std::move(move));
      job->begun = true;
    }
    after = rows.back().first;
  }
  for (const auto& [id, job] : jobs_) CHECK_OK(start(job));
  return ok();
}

TreeMoves::JobHandle TreeMoves::add(MoveRow row) {
  auto job = std::make_shared<Job>();
  job->switched = std::make_shared<Flight<>>(Moment());
  job->ended = std::make_shared<Flight<>>(Moment());
  job->row = std::move(row);
  jobs_[job->row.id] = job;
  return job;
}

Status TreeMoves::start(const JobHandle& job) { return parts_.tasks.spawn(run(job), "move_tree"); }

bool TreeMoves::hides(AttachmentId attachment, std::string_view path) const {
  for (const auto& [id, job] : jobs_) {
    const MoveRow& row = job->row;
    if (row.attachment != attachment || !job->begun) continue;
    const std::string& hidden = row.phase == MoveRow::Phase::removing ? row.from : row.to;
    if (!lies_in(path, hidden)) continue;
    // The empty directory that is to be replaced is there.
    const bool stands = row.phase != MoveRow::Phase::removing && row.onto == MoveRow::Onto::empty_directory && path.size() == hidden.size();
    if (!stands) return true;
  }
  return false;
}

Moment TreeMoves::since(AttachmentId attachment, std::string_view path) const {
  Moment latest;
  for (const Renamed& one : renamed_) {
    if (one.attachment == attachment && lies_in(path, one.path)) latest = std::max(latest, one.at);
  }
  return latest;
}

void TreeMoves::changed(AttachmentId attachment, std::string path, Moment at, Duration metadata_ttl) {
  const TimePoint now = parts_.clock.now();
  std::erase_if(renamed_, [&](const Renamed& one) { return one.until <= now || (one.attachment == attachment && one.path == path); });
  if (renamed_.size() >= max_renamed) {
    // Too many to tell apart: one for its whole attachment, which says no less.
    const Renamed oldest = renamed_.front();
    Renamed all{.attachment = oldest.attachment, .path = "", .at = oldest.at, .until = oldest.until};
    for (const Renamed& one : renamed_) {
      if (one.attachment != oldest.attachment) continue;
      all.at = std::max(all.at, one.at);
      all.until = std::max(all.until, one.until);
    }
    std::erase_if(renamed_, [&](const Renamed& one) { return one.attachment == oldest.attachment; });
    renamed_.push_back(std::move(all));
  }
  renamed_.push_back(Renamed{.attachment = attachment, .path = std::move(path), .at = at, .until = now + metadata_ttl + remembered_for});
}

bool TreeMoves::any_of(AttachmentId attachment) const {
  return std::any_of(jobs_.begin(), jobs_.end(), [&](const auto& one) { return one.second->row.attachment == attachment; });
}

std::shared_ptr<FlightBase> TreeMoves::in_the_way(AttachmentId attachment, std::string_view path, Takes takes) const {
  for (const auto& [id, job] : jobs_) {
    const MoveRow& row = job->row;
    if (row.attachment != attachment) continue;
    const auto touches = [&](const std::string& tree) { return lies_in(path, tree) || (takes == Takes::tree && lies_in(tree, path)); };
    const bool removing = row.phase == MoveRow::Phase::removing;
    if (!touches(row.from) && (removing || !touches(row.to))) continue;
    if (row.phase == MoveRow::Phase::copying) return job->switched;
    return job->ended;
  }
  return nullptr;
}

std::uint64_t TreeMoves::reserve(MoveRow row) {
  while (row.id == 0 || find(row.id)) row.id = next_++;
  const std::uint64_t id = row.id;
  add(std::move(row));
  return id;
}

void TreeMoves::drop(std::uint64_t id) {
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) return;
  const JobHandle job = found->second;
  jobs_.erase(found);
  job->switched->land(Error(Code::cancelled, "the rename was not begun"));
  job->ended->land(ok());
}

Task<> TreeMoves::begin(std::uint64_t id, MoveRow::Onto onto, Deadline deadline) {
  const JobHandle job = jobs_.at(id);
  job->row.onto = onto;
  const Status written = write(job->row);
  if (!written) {
    drop(id);
    co_return written;
  }
  // From here on it is carried out, whoever waits.
  job->begun = true;
  const Status synced = co_await parts_.sync.commit(deadline);
  CO_CHECK_OK(start(job));
  co_return synced;
}

Task<> TreeMoves::wait(std::uint64_t id, Deadline deadline) {
  JobHandle job;
  const auto found = jobs_.find(id);
  if (found != jobs_.end()) job = found->second;
  for (const JobHandle& one : ended_) {
    if (one->row.id == id) job = one;
  }
  if (!job) co_return Error(Code::not_found, "nothing is known of the move " + std::to_string(id) + " any more; look where it stands");
  if (!job->switched->landed()) CO_CHECK_OK(co_await parts_.board.wait(job->switched, deadline, "moving " + printable(job->row.from)));
  co_return job->switched->outcome;
}

std::optional<MoveRow> TreeMoves::find(std::uint64_t id) const {
  const auto found = jobs_.find(id);
  if (found != jobs_.end()) return found->second->row;
  for (const JobHandle& one : ended_) {
    if (one->row.id == id) return one->row;
  }
  return std::nullopt;
}

Duration TreeMoves::ttl_of(AttachmentId attachment) const {
  const AttachmentRow* row = parts_.tree.attachments().by_id(attachment);
  return row == nullptr ? Duration::zero() : row->settings.metadata_ttl;
}

Result<std::optional<Namespace::EntryPlace>> TreeMoves::place_of(const MoveRow& row, const std::string& path) {
  const AttachmentRow* attachment = parts_.tree.attachments().by_id(row.attachment);
  if (attachment == nullptr) return Error(Code::internal, "a move of an attachment that is gone");
  Namespace::EntryPlace place{.parent = attachment->root, .name = ""};
  std::string_view rest = path;
  for (;;) {
    place.name = std::string(next_component(rest));
    if (rest.empty()) return std::optional(std::move(place));
    TRY(entry, parts_.tree.entry(place.parent, place.name));
    if (!entry || entry->type != FileType::directory) return std::optional<Namespace::EntryPlace>();
    place.parent = entry->child;
  }
}

Result<std::optional<Inode>> TreeMoves::inode_at(const MoveRow& row, const std::string& path) {
  TRY(place, place_of(row, path));
  if (!place) return std::optional<Inode>();
  TRY(child, parts_.tree.child(place->parent, place->name));
  if (!child) return std::optional<Inode>();
  return std::optional(std::move(child->inode));
}

Status TreeMoves::write(const MoveRow& row) {
  WriteBatch batch;
  batch.put(Family::meta, std::string(meta_keys::move_prefix) + number_key(row.id), encode(row));
  return parts_.store.write(batch);
}

}  // namespace hearth::master
