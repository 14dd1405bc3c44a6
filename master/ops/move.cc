// Trees that a store of keys moves or removes object by object (tree_moves.h, understore/tree_mover.h).
#include "master/metadata_service.h"

#include <algorithm>

namespace hearth::master {

namespace {

// Of one call of remove_tree(): short, so that its caller sees how far it is.
constexpr Duration remove_for = std::chrono::milliseconds(500);

bool nested(std::string_view a, std::string_view b) { return lies_in(a, b) || lies_in(b, a); }

}  // namespace

// Changes below that were let in before end before anything is copied or removed.
Task<> MetadataService::let_end_below(AttachmentId attachment, TreePair trees, std::shared_ptr<Flight<>> mine, Deadline deadline) {
  for (;;) {
    const auto inside = [&](const auto& one) {
      if (one.first.first != attachment || one.second == mine) return false;
      return nested(one.first.second, trees.from) || nested(one.first.second, trees.to);
    };
    const auto found = std::find_if(changes_.begin(), changes_.end(), inside);
    if (found == changes_.end()) co_return ok();
    const std::shared_ptr<FlightBase> before = found->second;
    CO_CHECK_OK(co_await board_.wait(before, deadline, "waiting for a change of " + found->first.second));
  }
}

// The number of the job; nothing where the store renames by itself, or what stands there is no directory.
Task<std::optional<std::uint64_t>> MetadataService::begin_move(UnderStore* store, Rename rename, MoveRow row, std::shared_ptr<Flight<>> mine,
                                                               Deadline deadline) {
  auto* mover = dynamic_cast<TreeMover*>(store);
  if (mover == nullptr) co_return std::optional<std::uint64_t>();
  const TreePair trees{.from = rename.from, .to = rename.to};
  row.from = rename.from;
  row.to = rename.to;
  const AttachmentId attachment = row.attachment;
  // From here on nobody else changes anything there.
  const std::uint64_t move = moves_->reserve(std::move(row));
  Status ready = co_await let_end_below(attachment, trees, std::move(mine), deadline);
  Result<TreeMover::Prepared> prepared;
  if (ready) {
    prepared = co_await mover->prepare_move(std::move(rename), deadline);
    if (!prepared) ready = prepared.error();
  }
  const bool is_tree = ready && prepared->source.type == FileType::directory;
  if (!is_tree) moves_->drop(move);
  if (!ready) co_return std::move(ready).error();
  if (!is_tree) co_return std::optional<std::uint64_t>();
  const auto onto = prepared->replaces_directory ? MoveRow::Onto::empty_directory : MoveRow::Onto::nothing;
  CO_CHECK_OK(co_await moves_->begin(move, onto, deadline));
  co_return std::optional(move);
}

Task<ChangedView> MetadataService::moved(std::uint64_t move, Deadline deadline) {
  const std::optional<MoveRow> row = moves_->find(move);
  const Status switched = co_await moves_->wait(move, deadline);
  ChangedView out;
  if (switched.code() == Code::deadline_exceeded && row) {
    out.move = move;
    co_return out;
  }
  // Whether it was done is not known here any more.
  if (!row) co_return Error(Code::unavailable, switched.error().message());
  CO_CHECK_OK(switched);
  CO_TRY(attachment, still_attached(row->attachment));
  CO_TRY(path, NamespacePath::parse(attachment.path == "/" ? "/" + row->to : attachment.path + "/" + row->to));
  Result<FileView> file = co_await stat(path, Freshness::cached, Deadline::after(parts_.clock, options_.store_deadline));
  if (file) out.file = std::move(*file);
  if (listening_ == Listening::on) out.news = news_of(*row);
  kick_cleaner();
  co_return out;
}

bool MetadataService::under_way(const std::string& path) const {
  const AttachmentRow* row = namespace_->attachments().at(path);
  return row != nullptr && moves_->any_of(row->id);
}

// A store that renamed a directory itself: what is kept of all below goes along.
void MetadataService::record_rename(const Places& places) {
  const AttachmentRow& row = places.object.attachment;
  const Moment now = namespace_->next_moment(parts_.clock.now());
  const Result<std::optional<InodeId>> from = parent_of(row, NamespacePath::parse("/" + places.object.store_path)->components());
  const Result<std::optional<InodeId>> to = parent_of(row, NamespacePath::parse("/" + places.other->store_path)->components());
  if (from && *from && to && *to) {
    const Namespace::EntryPlace old_place{**from, places.object.path.components().back()};
    const Namespace::EntryPlace new_place{**to, places.other->path.components().back()};
    // On failure all below is looked at again, as what it is in the store.
    static_cast<void>(namespace_->move(old_place, new_place, now));
  }
  moves_->changed(row.id, places.object.store_path, now, row.settings.metadata_ttl);
  moves_->changed(row.id, places.other->store_path, now, row.settings.metadata_ttl);
}

Task<RemovedView> MetadataService::remove_tree(NamespacePath path, Caller caller, Deadline deadline) {
  CO_TRY(places, places_of(RemoveDirectory{.path = path.text()}));
  const AttachmentRow row = places.object.attachment;
  const std::string directory = places.object.store_path;
  CO_TRY(store, co_await stores_.of(row.id, row.uri, row.settings.store_options, deadline));
  auto* mover = dynamic_cast<TreeMover*>(store.get());
  if (mover == nullptr || caller.uid != 0) {
    co_return Error(Code::unsupported, printable(path.text()) + " is removed name by name: " + (mover == nullptr ? "its store has directories" : "only root may remove what it may not look at"));
  }
  CO_TRY(top, co_await stat(path, Freshness::cached, deadline));
  if (top.inode.type != FileType::directory) co_return Error(Code::unsupported, printable(path.text()) + " is not a directory; remove it as a file");
  auto mine = std::make_shared<Flight<>>(namespace_->next_moment(parts_.clock.now()));
  const std::vector<ChangeKey> keys{{row.id, directory}};
  CO_CHECK_OK(co_await enter_change(keys, mine, TreeMoves::Takes::tree, deadline));
  RemovedView out;
  out.rest = RemovedView::Rest::more;
  Status failure = ok();
  const TimePoint until = parts_.clock.now() + remove_for;
  do {
    Result<TreeStretch> removed = co_await mover->remove_stretch(directory, "", 0, deadline);
    if (!removed) {
      failure = removed.error();
      break;
    }
    out.objects += removed->changed;
    if (removed->next.empty()) out.rest = RemovedView::Rest::none;
  } while (out.rest == RemovedView::Rest::more && parts_.clock.now() < until);
  const Moment now = namespace_->next_moment(parts_.clock.now());
  moves_->changed(row.id, directory, now, row.settings.metadata_ttl);
  const bool gone = failure && out.rest == RemovedView::Rest::none;
  // Not found, in the store's words: what was known of all below goes at once.
  if (gone) static_cast<void>(record_answer(row.id, directory, Error(Code::not_found, printable(path.text()) + " was removed"), now));
  leave_change(keys, mine);
  if (gone) kick_cleaner();
  if (listening_ == Listening::on) {
    const auto state = gone ? NameNews::State::gone : NameNews::State::there;
    out.news.push_back({.path = path.text(), .state = state, .reach = NameNews::Reach::tree});
  }
  if (!failure && news_) news_(std::move(out.news));
  CO_CHECK_OK(failure);
  co_return out;
}

}  // namespace hearth::master
