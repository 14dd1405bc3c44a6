// Changes: made in the under-store, then recorded as what the store says afterwards.
#include "master/metadata_service.h"

#include "common/change_wire.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

namespace hearth::master {

namespace {

using Takes = TreeMoves::Takes;

bool takes_a_name_away(const Change& change) {
  return std::holds_alternative<RemoveFile>(change) || std::holds_alternative<RemoveDirectory>(change) ||
         std::holds_alternative<Rename>(change);
}

// That a rename of a directory which goes on in the background may take before the caller is told so.
constexpr Duration move_patience = std::chrono::milliseconds(500);

// Nothing: it only looks, whatever is being moved.
std::optional<Takes> taken_by(const Change& change) {
  if (std::holds_alternative<LookAgain>(change) || std::holds_alternative<SyncDirectory>(change)) return std::nullopt;
  return takes_a_name_away(change) ? Takes::tree : Takes::name;
}

NamespacePath directory_of(const NamespacePath& path) { return path.ancestor(path.components().size() - 1); }

Error mount_point(const NamespacePath& path) {
  return Error(Code::busy, printable(path.text()) + " is, or leads to, the place of an attachment; detach it first");
}

}  // namespace

Result<MetadataService::Place> MetadataService::place_to_change(const std::string& text) const {
  TRY(path, NamespacePath::parse(text));
  const AttachmentRow* row = namespace_->attachments().owner(path);
  if (row == nullptr) {
    return Error(Code::read_only, printable(path.text()) + " lies above all attachments; files live in attachments (`hearth attach`)");
  }
  if (row->settings.writing == AttachmentSettings::Writing::refused) {
    return Error(Code::read_only, printable(path.text()) + ": the attachment " + printable(row->path) + " is read-only");
  }
  TRY(root, NamespacePath::parse(row->path));
  Place out{.attachment = *row, .path = path, .store_path = path.relative_to(root.components().size())};
  return out;
}

// `object` is what the answer is about. Moments are taken now, after the change: an answer to a question that was put
// while it was being made may not know of it, and does not count any more.
Result<std::optional<FileView>> MetadataService::record_touched(const Place& object, const std::vector<Touched>& touched, Learned how,
                                                                std::vector<NameNews>& news) {
  const Moment now = namespace_->next_moment(parts_.clock.now());
  std::optional<FileView> out;
  // Directories first: what is new in one of them is recorded beneath it.
  for (const bool directories : {true, false}) {
    for (const Touched& one : touched) {
      const bool is_directory = one.now && one.now->type == FileType::directory;
      if (is_directory != directories) continue;
      Result<ObjectInfo> answer = one.now ? Result<ObjectInfo>(*one.now)
                                          : Result<ObjectInfo>(Error(Code::not_found, one.path + " is gone"));
      Result<Inode> recorded = record_and_tell(object.attachment.id, one.path, std::move(answer), now, how, news);
      if (!recorded && recorded.code() != Code::not_found && recorded.code() != Code::stale) return std::move(recorded).error();
      if (!recorded || one.path != object.store_path) continue;
      const Reader reader = reader_for(object.attachment, Freshness::cached, Deadline::never());
      out = view(reader, object.path, std::move(*recorded), now);
    }
  }
  return out;
}

Result<MetadataService::Places> MetadataService::places_of(const Change& change) const {
  TRY(place, place_to_change(path_of(change)));
  if (takes_a_name_away(change) && (place.store_path.empty() || namespace_->attachments().has_below(place.path))) {
    return mount_point(place.path);
  }
  // What stands there for the attachments below it hides what the store would get.
  if (makes_a_name(change) && namespace_->attachments().has_below(place.path)) {
    return Error(Code::already_exists, printable(place.path.text()) + " is a directory that leads to an attachment");
  }
  Places out{.object = std::move(place), .other = std::nullopt};
  if (const std::string* other = other_path_of(change)) {
    TRY(other_place, place_to_change(*other));
    if (other_place.attachment.id != out.object.attachment.id) {
      return Error(Code::unsupported, printable(out.object.path.text()) + " and " + printable(other_place.path.text()) +
                                          " are of two attachments; copy and remove instead")
          .with_error_number(EXDEV);
    }
    if (other_place.store_path.empty() || namespace_->attachments().has_below(other_place.path)) {
      return mount_point(other_place.path);
    }
    out.other = std::move(other_place);
  }
  return out;
}

Task<ChangedView> MetadataService::change(Change change, Caller caller, Deadline deadline, std::uint64_t move_number) {
  CO_TRY(places, places_of(change));
  const AttachmentRow& row = places.object.attachment;
  CO_TRY(store, co_await stores_.of(row.id, row.uri, row.settings.store_options, deadline));
  const bool staged = store->capabilities().writing == StoreCapabilities::Writing::staged;
  Namespace::KeptAttributes kept;
  bool was_directory = false;
  if (staged) {
    // What is done is recorded below the directories that lead there, so they are to be known.
    Result<FileView> known = co_await stat(places.object.path, Freshness::cached, deadline);
    if (!known && is_away(known.code())) co_return std::move(known).error();
    was_directory = known && known->inode.type == FileType::directory;
    // What moves with its inode has a place to go.
    if (places.other) static_cast<void>(co_await stat(directory_of(places.other->path), Freshness::cached, deadline));
    CO_CHECK_OK(co_await check_rights(change, places, caller, deadline));
  }
  if (staged && !store->capabilities().keeps_set_attributes) {
    CO_TRY(given, co_await attributes_after(change, places, caller, deadline));
    kept = given;
  }
  // Where it is afterwards.
  const Place& object = std::holds_alternative<Rename>(change) ? *places.other : places.object;
  std::vector<ChangeKey> keys{{row.id, places.object.store_path}};
  path_of(change) = places.object.store_path;
  if (places.other) {
    *other_path_of(change) = places.other->store_path;
    if (places.other->store_path != places.object.store_path) keys.emplace_back(row.id, places.other->store_path);
  }
  const auto* look = std::get_if<LookAgain>(&change);
  const Learned how = look != nullptr && !look->wrote ? Learned::by_looking : Learned::by_change;
  const auto* rename = std::get_if<Rename>(&change);
  const bool of_directory = rename != nullptr && was_directory && rename->from != rename->to;
  auto mine = std::make_shared<Flight<>>(namespace_->next_moment(parts_.clock.now()));
  const std::optional<Takes> takes = taken_by(change);
  CO_CHECK_OK(co_await enter_change(keys, mine, takes, deadline));
  if (of_directory) {
    const Rename wanted = *rename;
    MoveRow as;
    as.id = move_number;
    as.attachment = row.id;
    Result<std::optional<std::uint64_t>> move = co_await begin_move(store.get(), wanted, as, mine, deadline);
    const bool settled = !move || *move;
    if (settled) leave_change(keys, mine);
    if (!move) co_return std::move(move).error();
    if (*move) co_return co_await moved(**move, deadline.sooner_of(Deadline::after(parts_.clock, move_patience)));
  }
  Result<ChangeResult> done = co_await store->change(std::move(change), std::move(caller), deadline);
  Result<std::optional<FileView>> file;
  ChangedView out;
  if (done && of_directory && staged) record_rename(places);
  if (done) file = record_touched(object, done->touched, how, out.news);
  if (done && file && *file && kept.any()) {
    Result<Inode> given = namespace_->give_attributes((*file)->inode.id, kept);
    if (given) {
      (*file)->inode = std::move(*given);
    } else {
      file = std::move(given).error();
    }
  }
  leave_change(keys, mine);
  if (!done) co_return std::move(done).error();
  if (!file && news_) news_(std::move(out.news));
  if (!file) co_return std::move(file).error();
  kick_cleaner();
  out.version_before = std::move(done->version_before);
  out.file = std::move(*file);
  co_return out;
}

namespace {

bool is_in(const Caller& caller, std::uint32_t gid) {
  return caller.gid == gid || std::find(caller.groups.begin(), caller.groups.end(), gid) != caller.groups.end();
}

bool may_change_names(const Inode& directory, const Caller& caller) {
  constexpr std::uint32_t write_and_search = 3;
  unsigned shift = 0;
  if (caller.uid == directory.uid) {
    shift = 6;
  } else if (is_in(caller, directory.gid)) {
    shift = 3;
  }
  return ((directory.mode >> shift) & write_and_search) == write_and_search;
}

Error not_allowed(const NamespacePath& path, int number) {
  return Error(Code::permission_denied, printable(path.text()) + ": not allowed").with_error_number(number);
}

// As a kernel does with a file that is given away; without group execution the second bit means mandatory locks.
std::uint32_t without_set_ids(std::uint32_t mode) {
  mode &= ~static_cast<std::uint32_t>(S_ISUID);
  return (mode & S_IXGRP) != 0 ? mode & ~static_cast<std::uint32_t>(S_ISGID) : mode;
}

}  // namespace

Task<> MetadataService::check_rights(const Change& change, const Places& places, const Caller& caller, Deadline deadline) {
  const bool changes_nothing = std::holds_alternative<LookAgain>(change) || std::holds_alternative<SyncDirectory>(change);
  if (caller.uid == 0 || changes_nothing) co_return ok();
  const bool changes_names = makes_a_name(change) || takes_a_name_away(change);
  if (!changes_names) {
    CO_TRY(object, co_await stat(places.object.path, Freshness::cached, deadline));
    if (object.inode.uid != caller.uid) co_return not_allowed(places.object.path, EPERM);
    const auto* set = std::get_if<SetAttributes>(&change);
    const bool gives_away = set != nullptr && ((set->uid && *set->uid != caller.uid) || (set->gid && !is_in(caller, *set->gid)));
    if (gives_away) co_return not_allowed(places.object.path, EPERM);
    co_return ok();
  }
  std::vector<const Place*> names{&places.object};
  if (places.other) names.push_back(&*places.other);
  for (const Place* name : names) {
    CO_TRY(directory, co_await stat(directory_of(name->path), Freshness::cached, deadline));
    if (!may_change_names(directory.inode, caller)) co_return not_allowed(name->path, EACCES);
    if ((directory.inode.mode & S_ISVTX) == 0 || directory.inode.uid == caller.uid || makes_a_name(change)) continue;
    Result<FileView> there = co_await stat(name->path, Freshness::cached, deadline);
    if (there && there->inode.uid != caller.uid) co_return not_allowed(name->path, EPERM);
  }
  co_return ok();
}

Task<Namespace::KeptAttributes> MetadataService::attributes_after(const Change& change, const Places& places,
                                                                  const Caller& caller, Deadline deadline) {
  Namespace::KeptAttributes out;
  const std::int64_t now = parts_.clock.wall_now().time_since_epoch().count();
  const auto chosen = [now](const SetAttributes::Time& time) { return time.now ? now : time.ns; };
  if (const auto* made = std::get_if<MakeDirectory>(&change)) {
    CO_TRY(parent, co_await stat(directory_of(places.object.path), Freshness::cached, deadline));
    const bool inherits = (parent.inode.mode & S_ISGID) != 0;
    out.mode = (made->mode & 07777 & ~caller.umask) | (inherits ? static_cast<std::uint32_t>(S_ISGID) : 0U);
    out.uid = caller.uid;
    out.gid = inherits ? parent.inode.gid : caller.gid;
    out.mtime_ns = now;
    out.ctime_ns = now;
  } else if (const auto* set = std::get_if<SetAttributes>(&change)) {
    out.mode = set->mode;
    out.uid = set->uid;
    out.gid = set->gid;
    if (set->mtime) out.mtime_ns = chosen(*set->mtime);
    if (set->atime) out.atime_ns = chosen(*set->atime);
    out.ctime_ns = now;
    if ((set->uid || set->gid) && !set->mode) {
      CO_TRY(object, co_await stat(places.object.path, Freshness::cached, deadline));
      if (object.inode.type == FileType::regular) out.mode = without_set_ids(object.inode.mode);
    }
  } else if (std::holds_alternative<Rename>(change)) {
    Result<FileView> moved = co_await stat(places.object.path, Freshness::cached, deadline);
    if (moved && moved->inode.keeps_attributes) {
      out.mode = moved->inode.mode;
      out.uid = moved->inode.uid;
      out.gid = moved->inode.gid;
      out.mtime_ns = moved->inode.mtime_ns;
      out.atime_ns = moved->inode.atime_ns;
      out.ctime_ns = now;
    }
  }
  co_return out;
}

Task<> MetadataService::enter_change(std::vector<ChangeKey> keys, std::shared_ptr<Flight<>> mine, std::optional<TreeMoves::Takes> takes,
                                     Deadline deadline) {
  for (;;) {
    std::shared_ptr<FlightBase> before;
    std::shared_ptr<FlightBase> move;
    for (const ChangeKey& key : keys) {
      const auto found = changes_.find(key);
      if (found != changes_.end()) before = found->second;
      if (takes && !move) move = moves_->in_the_way(key.first, key.second, *takes);
    }
    if (!before && !move) break;
    const std::string what = "waiting for another change of " + keys.front().second;
    const Status waited = co_await board_.wait(move ? move : before, deadline, what);
    if (move && waited.code() == Code::deadline_exceeded) {
      co_return Error(Code::busy, printable(keys.front().second) + " is part of a directory that is being renamed, key by key; try again later");
    }
    CO_CHECK_OK(waited);
  }
  for (const ChangeKey& key : keys) changes_[key] = mine;
  co_return ok();
}

void MetadataService::leave_change(const std::vector<ChangeKey>& keys, const std::shared_ptr<Flight<>>& mine) {
  for (const ChangeKey& key : keys) changes_.erase(key);
  mine->land(ok());
}

Task<MetadataService::Xattrs> MetadataService::xattrs(NamespacePath path, std::string name, Caller caller, Deadline deadline) {
  Xattrs out;
  const AttachmentRow* owner = namespace_->attachments().owner(path);
  if (owner == nullptr) {
    if (name.empty()) co_return out;
    co_return Error(Code::not_found, printable(path.text()) + " has no extended attributes").with_error_number(ENODATA);
  }
  const AttachmentRow row = *owner;
  CO_TRY(root, NamespacePath::parse(row.path));
  std::string store_path = path.relative_to(root.components().size());
  CO_TRY(store, co_await stores_.of(row.id, row.uri, row.settings.store_options, deadline));
  if (name.empty()) {
    CO_TRY(names, co_await store->xattr_names(std::move(store_path), std::move(caller), deadline));
    out.names = std::move(names);
  } else {
    CO_TRY(value, co_await store->xattr(std::move(store_path), std::move(name), std::move(caller), deadline));
    out.value = std::move(value);
  }
  co_return out;
}

}  // namespace hearth::master
