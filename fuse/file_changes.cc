// FileSystem: changes, and files that are open in place.
#include "fuse/file_system.h"

#include "common/change_wire.h"
#include "common/log.h"
#include "common/object_identity.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace hearth {
namespace {

constexpr std::size_t longest_name = 255;

Error replaced(const std::string& path) {
  return Error(Code::stale, path + " is another file now; look it up again");
}

// Versions of stores whose files are files of this kernel tell the object; the others' files are staged.
bool opens_in_place(const FileStatus& status) { return !object_key(status.version).empty(); }

Status check_name(std::string_view name) {
  if (name.size() <= longest_name) return ok();
  return Error(Code::name_too_long, "a name of " + std::to_string(name.size()) + " bytes");
}

}  // namespace

Caller FileSystem::this_process() { return Caller{.uid = ::geteuid(), .gid = ::getegid(), .groups = {}, .umask = 0}; }

Status FileSystem::check_writable() const {
  if (options_.writing == MountOptions::Writing::allow) return ok();
  return Error(Code::read_only, "the mount is read only; mount it with the option writable");
}

// ---- files that are open in place

Result<FileSystem::Live> FileSystem::go_live(NodeId node, LiveFile::Access access, int flags, const Caller& caller) {
  if (LiveFiles::Handle live = lives_.find(node)) {
    const bool enough = access == LiveFile::Access::read || live->access() == LiveFile::Access::write;
    if (enough && (flags & O_TRUNC) != 0) CHECK_OK(live->truncate(0, caller.uid));
    if (enough) return Live{.file = std::move(live)};
  }
  TRY(known, nodes_.status(node));
  if (LiveFiles::Handle live = lives_.find(node); live && !nodes_.has_name(node)) {
    // Without a name it is found by its descriptor alone.
    TRY(again, live->reopen(O_RDWR));
    Live out;
    out.file = lives_.put(node, std::move(again), access);
    if ((flags & O_TRUNC) != 0) CHECK_OK(out.file->truncate(0, caller.uid));
    return out;
  }
  TRY(path, nodes_.path(node));
  OpenForWriting how;
  how.path = path;
  how.read_only = access == LiveFile::Access::read;
  how.without_content = (flags & O_TRUNC) != 0;
  // Two nodes of one file must not both be live: the kernel would not see the one's writes through the other.
  if (!nodes_.is_newest(node)) return replaced(path);
  auto ahead = access == LiveFile::Access::read ? opened_ahead_.take(node, real_clock().now()) : std::nullopt;
  auto opened = ahead ? Result<OpenedInPlace>(std::move(*ahead)) : source_.open_in_place(how, caller);
  if (!opened && opened.code() != Code::not_found) return std::move(opened).error();
  if (!opened || object_key(opened->version) != object_key(known.version)) {
    static_cast<void>(source_.change(LookAgain{.path = path}, this_process()));
    counters_.stale_open();
    note_replaced(path, known);
    return replaced(path);
  }
  const bool is_live = lives_.find(node) != nullptr;
  const bool other_content = !is_live && without_nonce(opened->version) != without_nonce(known.version);
  // Handles of the version that was would read a mix.
  if (other_content && modes_.handles(node) != 0) {
    static_cast<void>(source_.change(LookAgain{.path = path}, this_process()));
    counters_.stale_open();
    return replaced(path);
  }
  Live live;
  if (opened->publish) access = LiveFile::Access::write;
  live.file = lives_.put(node, std::move(opened->fd), access, std::move(opened->publish));
  live.file->note_path(path);
  nodes_.set_content(node, NodeTable::Content::live);
  if (nodes_.take_drop_pages(node) || other_content) live.pages = FileHandle::Pages::drop;
  if ((flags & O_TRUNC) != 0) CHECK_OK(live.file->truncate(0, caller.uid));
  return live;
}

Result<std::shared_ptr<FileHandle>> FileSystem::open_live(NodeId node, LiveFile::Access access, int flags, const Caller& caller) {
  CHECK_OK(nodes_.pin(node));
  auto live = go_live(node, access, flags, caller);
  if (!live) {
    if (nodes_.unpin(node) == 0) end_live(node);
    return std::move(live).error();
  }
  auto handle = std::make_shared<FileHandle>();
  handle->node = node;
  handle->may_go_live = true;
  handle->writes = access == LiveFile::Access::write;
  handle->pages = live->pages;
  if ((flags & O_NOATIME) != 0 && access == LiveFile::Access::read) {
    auto quiet = live->file->reopen(O_RDONLY | O_NOATIME);
    if (quiet) handle->quiet = std::move(*quiet);
  }
  set_mode(*handle, *live->file, flags);
  return handle;
}

void FileSystem::set_mode(FileHandle& handle, const LiveFile& file, int flags) {
  // What the kernel writes by itself into a staged copy nobody would know to publish.
  handle.opened = file.is_staged() ? modes_.open(handle.node, nullptr, 0)
                                   : file.with_descriptor([&](int fd) { return modes_.open_in_place(handle.node, fd); });
  const bool through = handle.opened.mode == IoModes::Opened::Mode::passthrough;
  handle.writes_unseen = through && (flags & O_ACCMODE) != O_RDONLY;
  counters_.open_files.fetch_add(1, std::memory_order_relaxed);
  through ? counters_.opened_passthrough() : counters_.opened_cached();
}

Result<NodeEntry> FileSystem::lookup_and_open(NodeId parent, std::string_view name, const std::string& path) {
  OpenForWriting how;
  how.path = path;
  how.read_only = true;
  constexpr int tries = 8;
  for (int i = 0; i < tries; ++i) {
    TRY(opened, source_.open_in_place(how, this_process()));
    TRY(now, source_.change(LookAgain{.path = path}, this_process()));
    if (!now.status || object_key(now.status->version) != object_key(opened.version)) continue;
    TRY(entry, enter(parent, name, std::move(*now.status)));
    opened_ahead_.put(entry.node, std::move(opened), real_clock().now());
    return entry;
  }
  return replaced(path);
}

LiveFiles::Handle FileSystem::live_of(const FileHandle& handle) const {
  return handle.may_go_live ? lives_.find(handle.node) : nullptr;
}

// The master learns what the file is now, and what the kernel cached of it stays right for that version if nobody else
// changed it since.
void FileSystem::end_live(NodeId node) {
  const LiveFiles::Handle live = lives_.find(node);
  if (live == nullptr) return;
  if (live->is_staged()) {
    const Status published = publish(node, *live);
    if (!published) {
      log_error("fuse_file_not_published", {{"path", path_of(node)}, {"error", published.error().message()}});
    }
  }
  auto known = nodes_.status(node);
  const auto last = known && !live->is_staged() ? live->status(*known) : Result<FileStatus>(Error(Code::stale, "nobody asks"));
  if (last && nodes_.has_name(node)) {
    // Since it was told of at close(), nothing may have happened: a time that another change could share is of a version that
    // nobody keeps.
    const auto told = live->announced();
    const bool known_already = told && told->ctime_ns == last->ctime_ns && told->length_bytes == last->length_bytes;
    const auto now = known_already ? Result<FileStatus>(*told) : look_again(node, Wrote::yes);
    const bool ours = now && now->ctime_ns == last->ctime_ns && now->length_bytes == last->length_bytes &&
                      object_key(now->version) == object_key(known->version);
    if (ours) nodes_.adopt(node, *now);
  }
  lives_.erase_unless(node, [&] {
    if (nodes_.pinned(node)) return true;  // opened again meanwhile
    nodes_.set_content(node, NodeTable::Content::of_version);
    return false;
  });
}

// A file without a name has nowhere to go.
Status FileSystem::publish(NodeId node, LiveFile& live) {
  const std::shared_lock directories(staged_directories_);
  const auto mine = live.keep_from_publishing();
  if (!nodes_.has_name(node)) return ok();
  TRY(path, nodes_.path(node));
  auto published = live.publish(path);
  if (!published) {
    counters_.publish_failed();
    return std::move(published).error();
  }
  if (*published) {
    counters_.published();
    nodes_.adopt(node, **published);
  }
  return ok();
}

// A file that is published while its name goes away would be there again, or under the old name as well.
FileSystem::StagedNames FileSystem::keep_names(std::optional<NodeId> one, std::optional<NodeId> other) {
  StagedNames out;
  const auto status = one ? nodes_.status(*one) : Result<FileStatus>(Error(Code::not_found, "no node"));
  if (status && status->type == EntryType::directory) {
    if (!opens_in_place(*status)) out.directories = std::unique_lock(staged_directories_);
    return out;
  }
  for (const auto& node : {one, other}) {
    LiveFiles::Handle live = node ? lives_.find(*node) : nullptr;
    if (live && live->is_staged() && std::count(out.files.begin(), out.files.end(), live) == 0) out.files.push_back(std::move(live));
  }
  std::sort(out.files.begin(), out.files.end());  // everybody in one order
  for (const LiveFiles::Handle& file : out.files) out.locks.push_back(file->keep_from_publishing());
  return out;
}

// ---- names

Result<FileSystem::Created> FileSystem::create(NodeId parent, std::string_view name, std::uint32_t mode, int flags,
                                               const Caller& caller) {
  CHECK_OK(check_writable());
  CHECK_OK(check_name(name));
  TRY(path, nodes_.path(parent, name));
  OpenForWriting how;
  how.path = path;
  how.create = true;
  how.exclusive = (flags & O_EXCL) != 0;
  how.mode = mode;
  TRY(opened, source_.open_in_place(how, caller));
  TRY(changed, source_.change(LookAgain{.path = path, .wrote = opened.is_new}, this_process()));
  if (!changed.status || object_key(changed.status->version) != object_key(opened.version)) return replaced(path);
  Created out;
  TRY(entry, enter(parent, name, std::move(*changed.status)));
  out.entry = std::move(entry);
  const NodeId node = out.entry.node;
  CHECK_OK(nodes_.pin(node));
  const LiveFiles::Handle live = lives_.put(node, std::move(opened.fd), LiveFile::Access::write, std::move(opened.publish));
  live->note_path(path);
  if (live->is_staged() && opened.is_new) live->mark_written();  // an empty file is one, too
  nodes_.set_content(node, NodeTable::Content::live);
  out.handle = std::make_shared<FileHandle>();
  out.handle->node = node;
  out.handle->may_go_live = true;
  out.handle->writes = true;
  set_mode(*out.handle, *live, flags);
  if ((flags & O_TRUNC) != 0 && !opened.is_new) {
    const Status truncated = live->truncate(0, caller.uid);
    if (!truncated) {
      release(*out.handle);
      nodes_.forget(node, 1);
      return truncated.error();
    }
    out.entry.status.length_bytes = 0;
  }
  return out;
}

Result<NodeEntry> FileSystem::make(NodeId parent, std::string_view name, Change change, const Caller& caller) {
  CHECK_OK(check_writable());
  CHECK_OK(check_name(name));
  TRY(path, nodes_.path(parent, name));
  hearth::path_of(change) = path;
  TRY(changed, source_.change(change, caller));
  if (!changed.status) return Error(Code::stale, path + " was removed at once");
  return enter(parent, name, std::move(*changed.status));
}

Result<NodeEntry> FileSystem::link(NodeId node, NodeId parent, std::string_view name, const Caller& caller) {
  CHECK_OK(check_writable());
  CHECK_OK(check_name(name));
  MakeLink link;
  TRY(existing, path_now(node));
  TRY(path, nodes_.path(parent, name));
  link.existing = existing;
  link.path = path;
  TRY(changed, source_.change(link, caller));
  if (!changed.status) return Error(Code::stale, path + " was removed at once");
  adopt(node, changed);
  names_changed(node, Wrote::yes);
  return enter(parent, name, std::move(*changed.status));
}

Status FileSystem::remove(NodeId parent, std::string_view name, Removal what, const Caller& caller) {
  CHECK_OK(check_writable());
  TRY(path, nodes_.path(parent, name));
  if (what == Removal::directory) {
    CHECK_OK(source_.change(RemoveDirectory{.path = path}, caller));
    nodes_.drop_name(parent, name);
    return ok();
  }
  hold_if_open(parent, name);
  const auto node = nodes_.find(parent, name);
  const StagedNames still = keep_names(node, std::nullopt);
  CHECK_OK(source_.change(RemoveFile{.path = path}, caller));
  nodes_.drop_name(parent, name);
  if (node) lost_a_name(*node);
  return ok();
}

Status FileSystem::rename(NodeId parent, std::string_view name, NodeId to_parent, std::string_view to_name,
                          Rename::Target target, const Caller& caller) {
  CHECK_OK(check_writable());
  CHECK_OK(check_name(to_name));
  Rename rename;
  TRY(from, nodes_.path(parent, name));
  TRY(to, nodes_.path(to_parent, to_name));
  rename.from = from;
  rename.to = to;
  rename.target = target;
  if (target == Rename::Target::replace) hold_if_open(to_parent, to_name);
  const auto moved = nodes_.find(parent, name);
  const auto replaced = target == Rename::Target::replace ? nodes_.find(to_parent, to_name) : std::nullopt;
  // Its store has nothing to rename yet, and what stands there under the new name must not go before the new one is there.
  if (const LiveFiles::Handle live = moved ? lives_.find(*moved) : nullptr; live && live->is_staged()) CHECK_OK(publish(*moved, *live));
  const StagedNames still = keep_names(moved, nodes_.find(to_parent, to_name));
  TRY(changed, source_.change(rename, caller));
  if (target == Rename::Target::exchange) {
    nodes_.exchange_names(parent, name, to_parent, to_name);
  } else {
    nodes_.move_name(parent, name, to_parent, to_name);
  }
  if (moved) {
    adopt(*moved, changed);
    names_changed(*moved, Wrote::yes);
  }
  if (replaced && replaced != moved) lost_a_name(*replaced);
  return ok();
}

// ---- attributes

Result<NodeAttributes> FileSystem::set_attributes(NodeId node, SetAttributes wanted, std::optional<std::uint64_t> length,
                                                  const FileHandle* handle, const Caller& caller) {
  CHECK_OK(check_writable());
  if (length) {
    // Of a handle: open already. Otherwise for as long as it takes.
    TRY(open, handle != nullptr ? Result<std::shared_ptr<FileHandle>>(nullptr)
                                : open_live(node, LiveFile::Access::write, *length == 0 ? O_TRUNC : 0, caller));
    const LiveFiles::Handle live = lives_.find(node);
    const Status truncated = live ? live->truncate(*length, caller.uid) : Status(Error(Code::internal, "truncating a file that is not open"));
    if (open) {
      static_cast<void>(flush(*open));  // as a close would
      release(*open);
    }
    CHECK_OK(truncated);
  }
  const bool others = wanted.mode || wanted.uid || wanted.gid || wanted.atime || wanted.mtime;
  if (others) {
    const LiveFiles::Handle live = lives_.find(node);
    if (!nodes_.has_name(node) || (live && live->is_staged())) {
      if (!live) return Error(Code::stale, path_of(node) + " has no name and is not open");
      CHECK_OK(live->set_attributes(wanted));  // the kernel checked the caller's rights
    } else {
      TRY(path, path_now(node));
      wanted.path = path;
      TRY(changed, source_.change(wanted, caller));
      adopt(node, changed);
      names_changed(node, Wrote::yes);
    }
  }
  return attributes(node);
}

Status FileSystem::set_xattr(NodeId node, Change change, const Caller& caller) {
  CHECK_OK(check_writable());
  TRY(path, path_now(node));
  hearth::path_of(change) = path;
  TRY(changed, source_.change(change, caller));
  adopt(node, changed);
  names_changed(node, Wrote::yes);
  return ok();
}

// ---- bytes

Status FileSystem::write(const FileHandle& handle, std::span<const std::byte> bytes, std::uint64_t offset,
                         LiveFile::Place place, std::uint32_t uid) {
  const LiveFiles::Handle live = live_of(handle);
  if (!live) return Error(Code::read_only, path_of(handle.node) + " is not open for writing");
  CHECK_OK(live->write(bytes, offset, place, uid));
  if (live->is_staged()) {
    counters_.wrote_staged(bytes.size());
  } else {
    counters_.wrote_in_place(bytes.size());
  }
  return ok();
}

Status FileSystem::flush(const FileHandle& handle) {
  const LiveFiles::Handle live = live_of(handle);
  if (live && live->is_staged()) return handle.writes ? publish(handle.node, *live) : ok();
  if (!live || (!live->take_written() && !handle.writes_unseen) || !path_now(handle.node)) return ok();
  const auto looked = look_again(handle.node, Wrote::yes);
  if (looked) live->note_announced(*looked);
  // The bytes are in the store; others see them when their metadata is old enough.
  if (!looked) log_debug("fuse_close_not_announced", {{"path", path_of(handle.node)}, {"reason", looked.error().message()}});
  return ok();
}

Status FileSystem::sync(const FileHandle& handle, LiveFile::Sync what) {
  const LiveFiles::Handle live = live_of(handle);
  if (live && live->is_staged()) return publish(handle.node, *live);
  return live ? live->sync(what) : ok();  // a version of the cache is in its store already
}

Status FileSystem::sync_directory(NodeId node, const Caller& caller) {
  TRY(status, nodes_.status(node));
  if (!takes_changes(status)) return ok();
  TRY(path, nodes_.path(node));
  CHECK_OK(source_.change(SyncDirectory{.path = path}, caller));
  return ok();
}

Status FileSystem::allocate(const FileHandle& handle, int mode, std::uint64_t offset, std::uint64_t length, std::uint32_t uid) {
  const LiveFiles::Handle live = live_of(handle);
  if (!live) return Error(Code::read_only, path_of(handle.node) + " is not open for writing");
  return live->allocate(mode, offset, length, uid);
}

Result<std::uint64_t> FileSystem::seek(const FileHandle& handle, std::uint64_t offset, int whence, const Caller& caller) {
  LiveFiles::Handle live = live_of(handle);
  if (!live && handle.may_go_live && opens_in_place(handle.file->status())) {
    TRY(opened, go_live(handle.node, LiveFile::Access::read, 0, caller));
    live = std::move(opened.file);
  }
  if (live) return live->seek(offset, whence);
  // Without holes: what a file system may always say.
  const std::uint64_t length = handle.file->status().length_bytes;
  if (offset >= length) return Error(Code::invalid_argument, "behind the end of the file").with_error_number(ENXIO);
  return whence == SEEK_HOLE ? length : offset;
}

Result<std::size_t> FileSystem::copy(const FileHandle& from, std::uint64_t from_offset, const FileHandle& to,
                                     std::uint64_t to_offset, std::size_t length, const Caller& caller) {
  const LiveFiles::Handle target = live_of(to);
  LiveFiles::Handle source = live_of(from);
  if (!source && from.may_go_live && opens_in_place(from.file->status())) {
    TRY(opened, go_live(from.node, LiveFile::Access::read, 0, caller));
    source = std::move(opened.file);
  }
  // The kernel copies by reading and writing then.
  if (!source || !target) return Error(Code::unsupported, "copied by the kernel").with_error_number(EOPNOTSUPP);
  return source->copy_to(*target, from_offset, to_offset, length, caller.uid);
}

}  // namespace hearth
