// TreeMoves: the jobs, phase by phase.
#include "master/tree_moves.h"

#include "common/log.h"
#include "master/meta_keys.h"

#include <algorithm>

namespace hearth::master {

namespace {

// Of one stretch, whose objects may be large. What was copied stays copied.
constexpr Duration stretch_deadline = std::chrono::hours(1);
constexpr Duration first_pause = std::chrono::milliseconds(100);
constexpr Duration longest_pause = std::chrono::seconds(10);
// A source that is changed all the time is not chased for ever.
constexpr int max_passes = 30;
constexpr int passes_at_once = 3;
constexpr Duration pass_pause = std::chrono::seconds(1);
constexpr std::size_t max_ended = 256;

bool changed_meanwhile(Code code) { return code == Code::stale || code == Code::not_found; }

Error keeps_changing(const MoveRow& row) {
  return Error(Code::busy, printable(row.from) + " is changed all the time by others, so it can not be renamed now");
}

}  // namespace

Task<> TreeMoves::run(JobHandle job) {
  log_info("move_runs", {{"move", job->row.id}, {"from", printable(job->row.from)}, {"to", printable(job->row.to)}, {"phase", static_cast<std::uint64_t>(job->row.phase)}});
  Duration pause = first_pause;
  for (;;) {
    const std::uint64_t before = job->copied;
    const Status done = co_await advance(job);
    if (done || done.code() == Code::cancelled) co_return done;
    log_warn("move_waits", {{"move", job->row.id}, {"from", printable(job->row.from)}, {"why", done.error().to_string()}});
    if (job->copied != before) pause = first_pause;
    CO_CHECK_OK(co_await parts_.clock.sleep_for(pause));
    pause = std::min<Duration>(pause * 2, longest_pause);
  }
}

Task<> TreeMoves::advance(JobHandle job) {
  if (job->row.phase == MoveRow::Phase::copying) CO_CHECK_OK(co_await copy(job));
  if (job->row.phase == MoveRow::Phase::undoing) co_return co_await undo(job);
  co_return co_await remove_source(job);
}

Task<std::shared_ptr<UnderStore>> TreeMoves::store_of(const MoveRow& row) {
  const AttachmentRow* attachment = parts_.tree.attachments().by_id(row.attachment);
  if (attachment == nullptr) co_return Error(Code::internal, "a move of an attachment that is gone");
  const AttachmentRow found = *attachment;
  const Deadline deadline = Deadline::after(parts_.clock, stretch_deadline);
  CO_TRY(store, co_await parts_.stores.of(found.id, found.uri, found.settings.store_options, deadline));
  if (dynamic_cast<TreeMover*>(store.get()) == nullptr) co_return Error(Code::internal, found.uri + " does not move trees of keys");
  co_return store;
}

// Kept attributes hold for a version: that of the copy, where it is another one.
void TreeMoves::note_versions(Job& job, const TreeStretch& stretch) {
  for (const TreeStretch::Version& one : stretch.versions) {
    const Result<std::optional<Inode>> known = inode_at(job.row, job.row.from + "/" + one.below);
    const bool matters = known && *known && (*known)->keeps_attributes && (*known)->version == one.source;
    if (matters) job.versions[(*known)->id] = one.copy;
  }
}

Task<TreeMoves::Pass> TreeMoves::copy_pass(JobHandle job, TreeMover* mover) {
  Pass pass;
  std::string after;
  job->versions.clear();
  do {
    const TreePair trees{.from = job->row.from, .to = job->row.to};
    const Deadline deadline = Deadline::after(parts_.clock, stretch_deadline);
    CO_TRY(stretch, co_await mover->copy_stretch(trees, std::move(after), deadline));
    pass.changed += stretch.changed;
    pass.at_ns = stretch.at_ns;
    job->copied += stretch.changed;
    note_versions(*job, stretch);
    after = std::move(stretch.next);
  } while (!after.empty());
  co_return pass;
}

Task<> TreeMoves::copy(JobHandle job) {
  // What the row says is what a crash would find, so it is there before anything is copied.
  CO_CHECK_OK(co_await parts_.sync.commit(Deadline::never()));
  CO_TRY(store, co_await store_of(job->row));
  auto* mover = dynamic_cast<TreeMover*>(store.get());
  Status failure = ok();
  for (int number = 1; number <= max_passes; ++number) {
    if (number > passes_at_once) CO_CHECK_OK(co_await parts_.clock.sleep_for(pass_pause));
    Result<Pass> pass = co_await copy_pass(job, mover);
    if (pass && pass->changed == 0) co_return switch_over(*job, pass->at_ns);
    if (pass || changed_meanwhile(pass.code())) continue;
    if (is_away(pass.code())) co_return pass.error();
    failure = pass.error();
    break;
  }
  job->why = failure ? Status(keeps_changing(job->row)) : failure;
  job->row.phase = MoveRow::Phase::undoing;
  log_warn("move_given_up", {{"move", job->row.id}, {"from", printable(job->row.from)}, {"why", job->why.error().to_string()}});
  co_return write(job->row);
}

// The moment of the rename: one write moves the inodes and says so.
Status TreeMoves::switch_over(Job& job, std::int64_t at_ns) {
  MoveRow row = job.row;
  row.phase = MoveRow::Phase::removing;
  row.switched_at_ns = at_ns;
  WriteBatch batch;
  batch.put(Family::meta, std::string(meta_keys::move_prefix) + number_key(row.id), encode(row));
  for (const auto& [id, version] : job.versions) {
    TRY(inode, parts_.tree.inode(id));
    inode.version = version;
    batch.put(Family::inode, number_key(id.value), encode(inode));
  }
  const Moment now = parts_.tree.next_moment(parts_.clock.now());
  TRY(from, place_of(row, row.from));
  TRY(to, place_of(row, row.to));
  if (from && to) {
    CHECK_OK(parts_.tree.move(*from, *to, now, std::move(batch)));
  } else {
    CHECK_OK(parts_.store.write(batch));  // what the namespace does not know can not be moved in it
    if (from) CHECK_OK(parts_.tree.remove(from->parent, from->name, now));
  }
  job.row = std::move(row);
  changed(job.row.attachment, job.row.from, now, ttl_of(job.row.attachment));
  changed(job.row.attachment, job.row.to, now, ttl_of(job.row.attachment));
  return ok();
}

Task<> TreeMoves::remove_source(JobHandle job) {
  CO_CHECK_OK(co_await parts_.sync.commit(Deadline::never()));
  if (!job->switched->landed()) {
    parts_.switched(job->row);
    job->switched->land(ok());
  }
  CO_TRY(store, co_await store_of(job->row));
  auto* mover = dynamic_cast<TreeMover*>(store.get());
  std::string after;
  std::uint64_t kept = 0;
  do {
    const Deadline deadline = Deadline::after(parts_.clock, stretch_deadline);
    CO_TRY(stretch, co_await mover->remove_stretch(job->row.from, std::move(after), job->row.switched_at_ns, deadline));
    kept += stretch.kept;
    after = std::move(stretch.next);
  } while (!after.empty());
  if (kept > 0) log_warn("move_left_newer_objects", {{"from", printable(job->row.from)}, {"objects", kept}});
  co_return co_await end(job);
}

Task<> TreeMoves::undo(JobHandle job) {
  CO_CHECK_OK(co_await parts_.sync.commit(Deadline::never()));
  CO_TRY(store, co_await store_of(job->row));
  auto* mover = dynamic_cast<TreeMover*>(store.get());
  const auto marker = job->row.onto == MoveRow::Onto::empty_directory ? TreeMover::Marker::stays : TreeMover::Marker::goes;
  std::string after;
  do {
    const TreePair trees{.from = job->row.from, .to = job->row.to};
    const Deadline deadline = Deadline::after(parts_.clock, stretch_deadline);
    CO_TRY(stretch, co_await mover->uncopy_stretch(trees, std::move(after), marker, deadline));
    after = std::move(stretch.next);
  } while (!after.empty());
  if (job->why) job->why = Error(Code::unavailable, "the rename of " + printable(job->row.from) + " was given up before the master was started again; the log says why");
  co_return co_await end(job);
}

// Nobody gets the old name (or, undone, the new one) before it is on stable storage that nothing is to be done there any more.
Task<> TreeMoves::end(JobHandle job) {
  WriteBatch batch;
  batch.erase(Family::meta, std::string(meta_keys::move_prefix) + number_key(job->row.id));
  CO_CHECK_OK(parts_.store.write(batch));
  CO_CHECK_OK(co_await parts_.sync.commit(Deadline::never()));
  const Moment now = parts_.tree.next_moment(parts_.clock.now());
  const bool undone = job->row.phase == MoveRow::Phase::undoing;
  changed(job->row.attachment, undone ? job->row.to : job->row.from, now, ttl_of(job->row.attachment));
  jobs_.erase(job->row.id);
  ended_.push_back(job);
  if (ended_.size() > max_ended) ended_.pop_front();
  if (!job->switched->landed()) job->switched->land(job->why);
  job->ended->land(ok());
  log_info("move_ended", {{"move", job->row.id}, {"from", printable(job->row.from)}, {"to", printable(job->row.to)}, {"copied", job->copied}, {"undone", undone ? "yes" : "no"}});
  co_return ok();
}

}  // namespace hearth::master
