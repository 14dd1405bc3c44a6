#include "fuse/write_operations.h"

#include "fuse/request.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fuse.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace hearth {
namespace {

// A change runs to its end although its caller may give up: nobody could tell what became of it otherwise. The deadlines
// of the client bound it.

void reply_status(Request& request, const Status& status) {
  if (!status) return request.fail(status.error());
  request.done();
  fuse_reply_err(request.raw(), 0);
}

void reply_entry(Request& request, const Result<NodeEntry>& entry) {
  if (!entry) return request.fail(entry.error());
  const fuse_entry_param param = to_param(*entry);
  request.done();
  if (fuse_reply_entry(request.raw(), &param) != 0) request.files().forget(entry->node, 1);
}

void on_mkdir(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode) {
  Request request(req, FuseOp::make, parent);
  reply_entry(request, request.files().make(parent, name, MakeDirectory{.path = {}, .mode = mode}, caller_of(req)));
}

void on_mknod(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, dev_t device) {
  Request request(req, FuseOp::make, parent);
  reply_entry(request, request.files().make(parent, name, MakeNode{.path = {}, .mode = mode, .device = device}, caller_of(req)));
}

void on_symlink(fuse_req_t req, const char* target, fuse_ino_t parent, const char* name) {
  Request request(req, FuseOp::make, parent);
  reply_entry(request, request.files().make(parent, name, MakeSymlink{.path = {}, .target = target}, caller_of(req)));
}

void on_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t parent, const char* name) {
  Request request(req, FuseOp::make, parent);
  reply_entry(request, request.files().link(node, parent, name, caller_of(req)));
}

void on_unlink(fuse_req_t req, fuse_ino_t parent, const char* name) {
  Request request(req, FuseOp::remove, parent);
  reply_status(request, request.files().remove(parent, name, FileSystem::Removal::file, caller_of(req)));
}

void on_rmdir(fuse_req_t req, fuse_ino_t parent, const char* name) {
  Request request(req, FuseOp::remove, parent);
  reply_status(request, request.files().remove(parent, name, FileSystem::Removal::directory, caller_of(req)));
}

void on_rename(fuse_req_t req, fuse_ino_t parent, const char* name, fuse_ino_t to_parent, const char* to_name, unsigned flags) {
  Request request(req, FuseOp::rename, parent);
  Rename::Target target = Rename::Target::replace;
  if (flags == RENAME_NOREPLACE) {
    target = Rename::Target::must_be_absent;
  } else if (flags == RENAME_EXCHANGE) {
    target = Rename::Target::exchange;
  } else if (flags != 0) {
    return request.fail(Error(Code::invalid_argument, "a rename with flags " + std::to_string(flags)));
  }
  reply_status(request, request.files().rename(parent, name, to_parent, to_name, target, caller_of(req)));
}

std::optional<SetAttributes::Time> time_of(int to_set, int given, int now, const timespec& time) {
  if ((to_set & now) != 0) return SetAttributes::Time{.now = true, .ns = 0};
  if ((to_set & given) == 0) return std::nullopt;
  // Nanoseconds in 64 bits end in the years 1677 and 2262.
  constexpr std::int64_t second_ns = 1'000'000'000;
  constexpr std::int64_t last_second = INT64_MAX / second_ns - 1;
  const std::int64_t seconds = std::clamp<std::int64_t>(time.tv_sec, -last_second, last_second);
  return SetAttributes::Time{.now = false, .ns = seconds * second_ns + time.tv_nsec};
}

void on_setattr(fuse_req_t req, fuse_ino_t node, struct stat* info, int to_set, fuse_file_info* open) {
  Request request(req, FuseOp::setattr, node);
  SetAttributes wanted;
  if ((to_set & FUSE_SET_ATTR_MODE) != 0) wanted.mode = info->st_mode & 07777;
  if ((to_set & FUSE_SET_ATTR_UID) != 0) wanted.uid = info->st_uid;
  if ((to_set & FUSE_SET_ATTR_GID) != 0) wanted.gid = info->st_gid;
  wanted.atime = time_of(to_set, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW, info->st_atim);
  wanted.mtime = time_of(to_set, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW, info->st_mtim);
  std::optional<std::uint64_t> length;
  if ((to_set & FUSE_SET_ATTR_SIZE) != 0) length = static_cast<std::uint64_t>(info->st_size);
  const auto handle = open != nullptr ? request.handles().get<FileHandle>(open->fh) : nullptr;
  const auto attributes = request.files().set_attributes(node, std::move(wanted), length, handle.get(), caller_of(req));
  if (!attributes) return request.fail(attributes.error());
  const struct stat now = to_stat(attributes->status);
  request.done();
  fuse_reply_attr(req, &now, to_seconds(attributes->timeout));
}

fuse_entry_out entry_reply(const fuse_entry_param& param) {
  const auto nanoseconds = [](double seconds) {
    return static_cast<std::uint32_t>((seconds - std::floor(seconds)) * 1e9);
  };
  fuse_entry_out out{};
  out.nodeid = param.ino;
  out.generation = param.generation;
  out.entry_valid = static_cast<std::uint64_t>(param.entry_timeout);
  out.entry_valid_nsec = nanoseconds(param.entry_timeout);
  out.attr_valid = static_cast<std::uint64_t>(param.attr_timeout);
  out.attr_valid_nsec = nanoseconds(param.attr_timeout);
  const struct stat& info = param.attr;
  out.attr.ino = info.st_ino;
  out.attr.size = static_cast<std::uint64_t>(info.st_size);
  out.attr.blocks = static_cast<std::uint64_t>(info.st_blocks);
  out.attr.atime = static_cast<std::uint64_t>(info.st_atim.tv_sec);
  out.attr.mtime = static_cast<std::uint64_t>(info.st_mtim.tv_sec);
  out.attr.ctime = static_cast<std::uint64_t>(info.st_ctim.tv_sec);
  out.attr.atimensec = static_cast<std::uint32_t>(info.st_atim.tv_nsec);
  out.attr.mtimensec = static_cast<std::uint32_t>(info.st_mtim.tv_nsec);
  out.attr.ctimensec = static_cast<std::uint32_t>(info.st_ctim.tv_nsec);
  out.attr.mode = info.st_mode;
  out.attr.nlink = static_cast<std::uint32_t>(info.st_nlink);
  out.attr.uid = info.st_uid;
  out.attr.gid = info.st_gid;
  out.attr.rdev = static_cast<std::uint32_t>(info.st_rdev);
  out.attr.blksize = static_cast<std::uint32_t>(info.st_blksize);
  return out;
}

void on_create(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, fuse_file_info* info) {
  Request request(req, FuseOp::create, parent);
  FileSystem& files = request.files();
  const auto created = files.create(parent, name, mode, info->flags, caller_of(req));
  if (!created) return request.fail(created.error());
  info->fh = request.handles().add(created->handle);
  // fuse_reply_create() of libfuse 3.14 has no room for a backing file.
  const struct { fuse_entry_out entry; OpenReply open; } reply{entry_reply(to_param(created->entry)),
                                                               open_reply(*created->handle, info->fh, info->flags)};
  request.done();
  if (fuse_reply_buf(req, reinterpret_cast<const char*>(&reply), sizeof reply) == 0) return;
  files.release(*created->handle);  // the caller was killed meanwhile
  files.forget(created->entry.node, 1);
  request.handles().take<FileHandle>(info->fh).reset();
}

void on_write(fuse_req_t req, fuse_ino_t node, const char* bytes, std::size_t size, off_t offset, fuse_file_info* info) {
  Request request(req, FuseOp::write, node);
  const std::shared_ptr<FileHandle> handle = request.handles().get<FileHandle>(info->fh);
  // Pages that the kernel wrote back (a shared mapping) have their own place, whatever the file was opened with.
  const bool at_end = (info->flags & O_APPEND) != 0 && info->writepage == 0;
  const auto place = at_end ? LiveFile::Place::at_end : LiveFile::Place::at_offset;
  const std::span<const std::byte> data(reinterpret_cast<const std::byte*>(bytes), size);
  const Status still_locked = request.locks() != nullptr ? request.locks()->check(node, info->fh) : ok();
  if (!still_locked) return request.fail(still_locked.error());
  const Status written =
      request.files().write(*handle, data, static_cast<std::uint64_t>(offset), place, fuse_req_ctx(req)->uid);
  if (!written) return request.fail(written.error());
  request.done();
  fuse_reply_write(req, size);
}

void on_flush(fuse_req_t req, fuse_ino_t node, fuse_file_info* info) {
  Request request(req, FuseOp::flush, node);
  const Status flushed = request.files().flush(*request.handles().get<FileHandle>(info->fh));
  // After what was written is announced: whoever gets the lock next sees it.
  if (request.locks() != nullptr) request.locks()->closed(node, info->lock_owner);
  reply_status(request, flushed);
}

void on_fsync(fuse_req_t req, fuse_ino_t node, int data_only, fuse_file_info* info) {
  Request request(req, FuseOp::fsync, node);
  const auto what = data_only != 0 ? LiveFile::Sync::data : LiveFile::Sync::all;
  reply_status(request, request.files().sync(*request.handles().get<FileHandle>(info->fh), what));
}

void on_fsyncdir(fuse_req_t req, fuse_ino_t node, int, fuse_file_info*) {
  Request request(req, FuseOp::fsync, node);
  reply_status(request, request.files().sync_directory(node, caller_of(req)));
}

void on_setxattr(fuse_req_t req, fuse_ino_t node, const char* name, const char* value, std::size_t size, int flags) {
  Request request(req, FuseOp::setxattr, node);
  SetXattr set;
  set.name = name;
  set.value.assign(value, size);
  if ((flags & XATTR_CREATE) != 0) set.presence = SetXattr::Presence::must_be_absent;
  if ((flags & XATTR_REPLACE) != 0) set.presence = SetXattr::Presence::must_be_present;
  reply_status(request, request.files().set_xattr(node, std::move(set), caller_of(req)));
}

void on_removexattr(fuse_req_t req, fuse_ino_t node, const char* name) {
  Request request(req, FuseOp::setxattr, node);
  reply_status(request, request.files().set_xattr(node, RemoveXattr{.path = {}, .name = name}, caller_of(req)));
}

void on_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t offset, off_t length, fuse_file_info* info) {
  Request request(req, FuseOp::fallocate, node);
  reply_status(request, request.files().allocate(*request.handles().get<FileHandle>(info->fh), mode,
                                                 static_cast<std::uint64_t>(offset), static_cast<std::uint64_t>(length),
                                                 fuse_req_ctx(req)->uid));
}

void on_lseek(fuse_req_t req, fuse_ino_t node, off_t offset, int whence, fuse_file_info* info) {
  Request request(req, FuseOp::lseek, node);
  const auto found = request.files().seek(*request.handles().get<FileHandle>(info->fh), static_cast<std::uint64_t>(offset),
                                          whence, caller_of(req));
  if (!found) return request.fail(found.error());
  request.done();
  fuse_reply_lseek(req, static_cast<off_t>(*found));
}

void on_copy(fuse_req_t req, fuse_ino_t from, off_t from_offset, fuse_file_info* from_info, fuse_ino_t, off_t to_offset,
             fuse_file_info* to_info, std::size_t length, int flags) {
  Request request(req, FuseOp::copy, from);
  if (flags != 0) return request.fail(Error(Code::invalid_argument, "copy_file_range takes no flags"));
  const auto source = request.handles().get<FileHandle>(from_info->fh);
  const auto target = request.handles().get<FileHandle>(to_info->fh);
  const auto count = request.files().copy(*source, static_cast<std::uint64_t>(from_offset), *target,
                                          static_cast<std::uint64_t>(to_offset), length, caller_of(req));
  if (!count) return request.fail(count.error());
  request.done();
  fuse_reply_write(req, *count);
}

constexpr std::uint32_t fopen_passthrough = 1U << 7;  // protocol 7.40

}  // namespace

OpenReply open_reply(const FileHandle& handle, std::uint64_t fh, int open_flags) {
  OpenReply reply{.fh = fh, .open_flags = 0, .backing_id = handle.opened.backing_id};
  if (handle.opened.mode == IoModes::Opened::Mode::passthrough) {
    reply.open_flags = fopen_passthrough;
    return reply;
  }
  if (handle.pages == FileHandle::Pages::keep) reply.open_flags |= FOPEN_KEEP_CACHE;
  if (goes_past_the_page_cache(open_flags)) reply.open_flags |= FOPEN_DIRECT_IO;
  return reply;
}

bool goes_past_the_page_cache(int open_flags) {
  return (open_flags & O_APPEND) != 0 && (open_flags & O_ACCMODE) == O_WRONLY;
}

Caller caller_of(fuse_req_t req) {
  const fuse_ctx* context = fuse_req_ctx(req);
  Caller caller;
  caller.uid = context->uid;
  caller.gid = context->gid;
  caller.umask = context->umask;
  if (caller.uid == 0) return caller;
  constexpr int few = 32;
  std::vector<gid_t> groups(few);
  int count = fuse_req_getgroups(req, few, groups.data());
  if (count > few) {
    groups.resize(static_cast<std::size_t>(count));
    count = fuse_req_getgroups(req, count, groups.data());
  }
  if (count > 0) caller.groups.assign(groups.begin(), groups.begin() + std::min<std::ptrdiff_t>(count, std::ssize(groups)));
  return caller;
}

void add_write_operations(fuse_lowlevel_ops& table) {
  table.setattr = on_setattr;
  table.mknod = on_mknod;
  table.mkdir = on_mkdir;
  table.unlink = on_unlink;
  table.rmdir = on_rmdir;
  table.symlink = on_symlink;
  table.rename = on_rename;
  table.link = on_link;
  table.create = on_create;
  table.write = on_write;
  table.flush = on_flush;
  table.fsync = on_fsync;
  table.fsyncdir = on_fsyncdir;
  table.setxattr = on_setxattr;
  table.removexattr = on_removexattr;
  table.fallocate = on_fallocate;
  table.lseek = on_lseek;
  table.copy_file_range = on_copy;
}

}  // namespace hearth
