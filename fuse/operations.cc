#include "fuse/operations.h"

#include "fuse/listing.h"
#include "fuse/request.h"
#include "fuse/write_operations.h"

#include <fcntl.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <utility>

namespace hearth {
namespace {

void on_lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
  Request request(req, FuseOp::lookup, parent);
  FileSystem& files = request.files();
  request.may_wait();
  auto entry = files.lookup(parent, name);
  if (!request.take()) {
    if (entry) files.forget(entry->node, 1);
    return;
  }
  const Duration negative = files.options().negative_timeout;
  if (!entry && (entry.code() != Code::not_found || negative == Duration::zero())) return request.fail(entry.error());
  fuse_entry_param param{};
  param.entry_timeout = to_seconds(negative);
  if (entry) param = to_param(*entry);
  request.done();
  if (fuse_reply_entry(req, &param) != 0 && entry) files.forget(entry->node, 1);
}

void on_forget(fuse_req_t req, fuse_ino_t node, std::uint64_t lookups) {
  Request request(req, FuseOp::forget, node);
  request.files().forget(node, lookups);
  request.done();
  fuse_reply_none(req);
}

void on_forget_multi(fuse_req_t req, std::size_t count, fuse_forget_data* forgets) {
  Request request(req, FuseOp::forget, root_node);
  for (std::size_t i = 0; i < count; ++i) request.files().forget(forgets[i].ino, forgets[i].nlookup);
  request.done();
  fuse_reply_none(req);
}

void on_getattr(fuse_req_t req, fuse_ino_t node, fuse_file_info*) {
  Request request(req, FuseOp::getattr, node);
  request.may_wait();
  const auto attributes = request.files().attributes(node);
  if (!request.take()) return;
  if (!attributes) return request.fail(attributes.error());
  const struct stat info = to_stat(attributes->status);
  request.done();
  fuse_reply_attr(req, &info, to_seconds(attributes->timeout));
}

void on_access(fuse_req_t req, fuse_ino_t node, int mask) {
  Request request(req, FuseOp::access, node);
  request.may_wait();
  const auto allowed = request.files().access(node, mask);
  if (!request.take()) return;
  if (!allowed) return request.fail(allowed.error());
  request.done();
  fuse_reply_err(req, 0);
}

void on_readlink(fuse_req_t req, fuse_ino_t node) {
  Request request(req, FuseOp::readlink, node);
  const auto target = request.files().readlink(node);
  if (!target) return request.fail(target.error());
  request.done();
  fuse_reply_readlink(req, target->c_str());
}

// A read-only mount asks nobody in its caller's name.
Caller caller_where_it_counts(const Request& request) {
  const bool counts = request.files().options().writing == MountOptions::Writing::allow;
  return counts ? caller_of(request.raw()) : Caller();
}

void on_open(fuse_req_t req, fuse_ino_t node, fuse_file_info* info) {
  Request request(req, FuseOp::open, node);
  FileSystem& files = request.files();
  // What truncates runs to its end, as changes do.
  if ((info->flags & O_TRUNC) == 0) request.may_wait();
  auto handle = files.open(node, info->flags, caller_where_it_counts(request));
  if (!request.take()) {
    if (handle) files.release(**handle);
    return;
  }
  if (!handle) return request.fail(handle.error());
  const OpenReply reply = open_reply(**handle, request.handles().add(*handle), info->flags);
  request.done();
  if (fuse_reply_buf(req, reinterpret_cast<const char*>(&reply), sizeof reply) == 0) return;
  files.release(**handle);  // the caller was killed meanwhile: the kernel sends no RELEASE
  request.handles().take<FileHandle>(reply.fh).reset();
}

void on_release(fuse_req_t req, fuse_ino_t node, fuse_file_info* info) {
  Request request(req, FuseOp::release, node);
  if (request.locks() != nullptr) request.locks()->released(node, info->fh);
  request.files().release(*request.handles().take<FileHandle>(info->fh));
  request.done();
  fuse_reply_err(req, 0);
}

void on_read(fuse_req_t req, fuse_ino_t node, std::size_t size, off_t offset, fuse_file_info* info) {
  Request request(req, FuseOp::read, node);
  const std::shared_ptr<FileHandle> handle = request.handles().get<FileHandle>(info->fh);
  std::span<std::byte> space;
  if (FileSystem::may_wait(*handle)) {
    space = thread_scratch(std::min<std::size_t>(size, request.files().options().max_read_bytes));
    request.may_wait();
  }
  const Result<ReadView> read = request.files().read(*handle, static_cast<std::uint64_t>(offset), size, space);
  if (!request.take()) return;
  if (!read) return request.fail(read.error());
  request.done();
  fuse_reply_buf(req, reinterpret_cast<const char*>(read->bytes.data()), read->bytes.size());
}

void on_statfs(fuse_req_t req, fuse_ino_t node) {
  Request request(req, FuseOp::statfs, node);
  request.may_wait();
  const auto capacity = request.files().capacity(node);
  if (!request.take()) return;
  if (!capacity) return request.fail(capacity.error());
  constexpr std::uint64_t unit = 4096;
  struct statvfs info {};
  info.f_bsize = unit;
  info.f_frsize = unit;
  info.f_blocks = capacity->total_bytes / unit;
  info.f_bfree = capacity->free_bytes / unit;
  info.f_bavail = capacity->available_bytes / unit;
  info.f_files = capacity->files;
  info.f_ffree = capacity->free_files;
  info.f_favail = capacity->free_files;
  info.f_namemax = 255;
  request.done();
  fuse_reply_statfs(req, &info);
}

// The size handshake of getxattr(2) and listxattr(2).
void reply_xattr(Request& request, const std::string& value, std::size_t size) {
  if (size != 0 && size < value.size()) return request.fail(Error(Code::invalid_argument, "the buffer is too small"), ERANGE);
  request.done();
  if (size == 0) {
    fuse_reply_xattr(request.raw(), value.size());
  } else {
    fuse_reply_buf(request.raw(), value.data(), value.size());
  }
}

void on_getxattr(fuse_req_t req, fuse_ino_t node, const char* name, std::size_t size) {
  Request request(req, FuseOp::getxattr, node);
  request.may_wait();
  auto value = request.files().xattr(node, name, caller_where_it_counts(request));
  if (!request.take()) return;
  if (!value) return request.fail(value.error(), value.code() == Code::not_found ? ENODATA : value.error().error_number());
  constexpr std::size_t kernel_limit = 65536;  // XATTR_SIZE_MAX; of more replicas, the first whole lines
  if (value->size() > kernel_limit) value->resize(value->rfind('\n', kernel_limit - 1) + 1);
  reply_xattr(request, *value, size);
}

void on_listxattr(fuse_req_t req, fuse_ino_t node, std::size_t size) {
  Request request(req, FuseOp::listxattr, node);
  request.may_wait();
  const auto names = request.files().xattr_names(node, caller_where_it_counts(request));
  if (!request.take()) return;
  if (!names) return request.fail(names.error());
  std::string joined;
  for (const auto& name : *names) joined.append(name).append(1, '\0');
  reply_xattr(request, joined, size);
}

// Every request that would write to a read-only mount. The kernel refuses most itself, until somebody remounts it rw.
template <class... Arguments>
void refuse(fuse_req_t req, Arguments...) {
  Request request(req, FuseOp::refused_write, root_node);
  request.fail(Error(Code::read_only, "the mount is read only"));
}

void on_init(void* data, fuse_conn_info* connection) {
  const MountOptions& options = static_cast<MountContext*>(data)->files->options();
  connection->max_read = options.max_read_bytes;
  connection->max_readahead = options.readahead_bytes;
  connection->max_background = 128;  // read-ahead requests in flight; the kernel's 12 starves parallel cold readers
  connection->congestion_threshold = 96;
  // Contents of a node never change, so nothing is ever to be dropped for a new mtime (AUTO_INVAL_DATA), and a symlink's
  // target can be kept. Splicing lost to copying (0.7 against 4.1 GB/s).
  // ASYNC_DIO would make a direct read wait where not even kill -9 reaches it.
  connection->want &= ~static_cast<unsigned>(FUSE_CAP_ASYNC_DIO | FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_WRITEBACK_CACHE |
                                             FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
                                             FUSE_CAP_SPLICE_MOVE | FUSE_CAP_HANDLE_KILLPRIV);
  connection->want |= connection->capable & FUSE_CAP_CACHE_SYMLINKS;
  if (options.writing == MountOptions::Writing::refuse) return;
  connection->max_write = options.max_read_bytes;
  // Default ACLs take the place of the umask, so the store has to see both; set-user-id is taken away here (LiveFile).
  connection->want |= connection->capable & (FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK | FUSE_CAP_HANDLE_KILLPRIV);
}

}  // namespace

fuse_lowlevel_ops mount_operations(MountOptions::Writing writing) {
  fuse_lowlevel_ops table{};
  table.init = on_init;
  table.lookup = on_lookup;
  table.forget = on_forget;
  table.forget_multi = on_forget_multi;
  table.getattr = on_getattr;
  table.access = on_access;
  table.readlink = on_readlink;
  table.open = on_open;
  table.read = on_read;
  table.release = on_release;
  table.opendir = on_opendir;
  table.readdir = on_readdir;
  table.readdirplus = on_readdirplus;
  table.releasedir = on_releasedir;
  table.statfs = on_statfs;
  table.getxattr = on_getxattr;
  table.listxattr = on_listxattr;
  table.setattr = refuse;
  table.mknod = refuse;
  table.mkdir = refuse;
  table.unlink = refuse;
  table.rmdir = refuse;
  table.symlink = refuse;
  table.rename = refuse;
  table.link = refuse;
  table.write = refuse;
  table.create = refuse;
  table.setxattr = refuse;
  table.removexattr = refuse;
  table.fallocate = refuse;
  table.copy_file_range = refuse;
  if (writing == MountOptions::Writing::allow) add_write_operations(table);
  return table;
}

}  // namespace hearth
