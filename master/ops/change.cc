// Changes: made in the under-store, then recorded as what the store says afterwards.
#include "master/metadata_service.h"

#include "common/change_wire.h"

namespace hearth::master {

namespace {

bool takes_a_name_away(const Change& change) {
  return std::holds_alternative<RemoveFile>(change) || std::holds_alternative<RemoveDirectory>(change) ||
         std::holds_alternative<Rename>(change);
}

bool makes_a_name(const Change& change) {
  return std::holds_alternative<MakeDirectory>(change) || std::holds_alternative<MakeNode>(change) ||
         std::holds_alternative<MakeSymlink>(change) || std::holds_alternative<MakeLink>(change);
}

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

Task<ChangedView> MetadataService::change(Change change, Caller caller, Deadline deadline) {
  CO_TRY(place, place_to_change(path_of(change)));
  Place object = place;  // where it is afterwards
  path_of(change) = place.store_path;
  if (takes_a_name_away(change) && (place.store_path.empty() || namespace_->attachments().has_below(place.path))) {
    co_return mount_point(place.path);
  }
  // What stands there for the attachments below it hides what the store would get.
  if (makes_a_name(change) && namespace_->attachments().has_below(place.path)) {
    co_return Error(Code::already_exists, printable(place.path.text()) + " is a directory that leads to an attachment");
  }
  if (std::string* other = other_path_of(change)) {
    CO_TRY(other_place, place_to_change(*other));
    if (other_place.attachment.id != place.attachment.id) {
      co_return Error(Code::unsupported, printable(place.path.text()) + " and " + printable(other_place.path.text()) +
                                             " are of two attachments; copy and remove instead")
          .with_error_number(EXDEV);
    }
    if (other_place.store_path.empty() || namespace_->attachments().has_below(other_place.path)) {
      co_return mount_point(other_place.path);
    }
    *other = other_place.store_path;
    if (std::holds_alternative<Rename>(change)) object = other_place;
  }
  std::vector<ChangeKey> keys{{place.attachment.id, place.store_path}};
  if (const std::string* other = other_path_of(change); other != nullptr && *other != place.store_path) {
    keys.emplace_back(place.attachment.id, *other);
  }
  const Learned how = std::holds_alternative<LookAgain>(change) ? Learned::by_looking : Learned::by_change;
  auto mine = std::make_shared<Flight<>>(namespace_->next_moment(parts_.clock.now()));
  CO_CHECK_OK(co_await enter_change(keys, mine, deadline));
  Result<ChangeResult> done = co_await change_in_store(place.attachment, std::move(change), std::move(caller), deadline);
  Result<std::optional<FileView>> file;
  ChangedView out;
  if (done) file = record_touched(object, done->touched, how, out.news);
  leave_change(keys, mine);
  if (!done) co_return std::move(done).error();
  if (!file && news_) news_(std::move(out.news));
  if (!file) co_return std::move(file).error();
  kick_cleaner();
  out.version_before = std::move(done->version_before);
  out.file = std::move(*file);
  co_return out;
}

Task<ChangeResult> MetadataService::change_in_store(AttachmentRow row, Change change, Caller caller, Deadline deadline) {
  CO_TRY(store, co_await stores_.of(row.id, row.uri, row.settings.store_options, deadline));
  co_return co_await store->change(std::move(change), std::move(caller), deadline);
}

Task<> MetadataService::enter_change(std::vector<ChangeKey> keys, std::shared_ptr<Flight<>> mine, Deadline deadline) {
  for (;;) {
    std::shared_ptr<Flight<>> before;
    for (const ChangeKey& key : keys) {
      const auto found = changes_.find(key);
      if (found != changes_.end()) before = found->second;
    }
    if (!before) break;
    CO_CHECK_OK(co_await board_.wait(before, deadline, "waiting for another change of " + keys.front().second));
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
