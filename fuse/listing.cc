#include "fuse/listing.h"

#include "fuse/request.h"

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

namespace hearth {
namespace {

enum class Listing : std::uint8_t { plain, plus };

// Fills one answer to readdir or readdirplus.
class ListingReply {
 public:
  ListingReply(Request& request, Listing listing, const DirectoryHandle& directory, std::span<std::byte> space)
      : request_(request), listing_(listing), directory_(directory), space_(space) {}

  DirectoryStream::Next add(const DirectoryItem& item, std::uint64_t behind) {
    fuse_entry_param param{};
    param.attr = to_stat(item.status);
    char* at = reinterpret_cast<char*>(space_.data()) + used_;
    const std::size_t room = space_.size() - used_;
    const auto position = static_cast<off_t>(behind);
    if (listing_ == Listing::plain) {
      const std::size_t needed = fuse_add_direntry(request_.raw(), at, room, item.name.c_str(), &param.attr, position);
      return advance(needed, room);
    }
    if (fuse_add_direntry_plus(request_.raw(), nullptr, 0, item.name.c_str(), nullptr, 0) > room) {
      return DirectoryStream::Next::stop;
    }
    if (is_complete(item)) {
      const auto entry = request_.files().entry_of(directory_, item);
      if (entry) {
        param = to_param(*entry);
        entered_.push_back(entry->node);
      }
    }
    return advance(fuse_add_direntry_plus(request_.raw(), at, room, item.name.c_str(), &param, position), room);
  }
  std::size_t used() const { return used_; }
  // The kernel did not take the answer, so it did not take the lookups either.
  void undo() {
    for (const NodeId node : entered_) request_.files().forget(node, 1);
    entered_.clear();
  }

 private:
  // Otherwise (and for "." and "..") the node stays 0: the kernel shows the name and looks it up when needed.
  static bool is_complete(const DirectoryItem& item) {
    if (item.name == "." || item.name == "..") return false;
    return item.status.type != EntryType::regular || !item.status.version.empty();
  }
  DirectoryStream::Next advance(std::size_t needed, std::size_t room) {
    if (needed > room) return DirectoryStream::Next::stop;
    used_ += needed;
    return DirectoryStream::Next::go_on;
  }

  Request& request_;
  const Listing listing_;
  const DirectoryHandle& directory_;
  const std::span<std::byte> space_;
  std::size_t used_ = 0;
  std::vector<NodeId> entered_;
};

// "." and "..", then the names.
Status fill(ListingReply& reply, Request& request, DirectoryHandle& handle, std::uint64_t position) {
  for (std::uint64_t dots = position; dots < DirectoryStream::first_name; ++dots) {
    DirectoryItem item{.name = dots == 0 ? "." : "..", .status = {}};
    const NodeId node = dots == 0 ? handle.node : request.files().nodes().parent(handle.node);
    auto status = request.files().nodes().status(node);
    if (status) item.status = std::move(*status);
    if (reply.add(item, dots + 1) == DirectoryStream::Next::stop) return ok();
  }
  // Removed, or renamed by somebody else.
  if (!request.files().nodes().has_name(handle.node)) return Error(Code::not_found, "the directory is not there any more");
  return handle.stream.read(position, [&](const DirectoryItem& item, std::uint64_t behind) {
    return reply.add(item, behind);
  });
}

void list(fuse_req_t req, fuse_ino_t node, std::size_t size, off_t offset, fuse_file_info* info, Listing listing) {
  Request request(req, listing == Listing::plus ? FuseOp::readdirplus : FuseOp::readdir, node);
  const std::shared_ptr<DirectoryHandle> handle = request.handles().get<DirectoryHandle>(info->fh);
  const auto space = thread_scratch(std::min<std::size_t>(size, 1U << 20));
  ListingReply reply(request, listing, *handle, space);
  request.may_wait();
  const auto filled = fill(reply, request, *handle, static_cast<std::uint64_t>(offset));
  if (!request.take()) return reply.undo();
  // What was found before a failure is given; the next call meets the failure again.
  // The C library takes ENOENT here for the end, so a directory that went away while it was listed would pass for a shorter one.
  if (!filled && reply.used() == 0) {
    const bool gone = filled.code() == Code::not_found;
    return request.fail(filled.error(), gone ? ESTALE : filled.error().error_number());
  }
  request.done();
  if (fuse_reply_buf(req, reinterpret_cast<const char*>(space.data()), reply.used()) != 0) reply.undo();
}

}  // namespace

void on_opendir(fuse_req_t req, fuse_ino_t node, fuse_file_info* info) {
  Request request(req, FuseOp::opendir, node);
  FileSystem& files = request.files();
  const auto handle = files.opendir(node);
  if (!handle) return request.fail(handle.error());
  info->fh = request.handles().add(*handle);
  request.done();
  if (fuse_reply_open(req, info) == 0) return;
  files.releasedir(**handle);
  request.handles().take<DirectoryHandle>(info->fh).reset();
}

void on_releasedir(fuse_req_t req, fuse_ino_t node, fuse_file_info* info) {
  Request request(req, FuseOp::releasedir, node);
  request.files().releasedir(*request.handles().take<DirectoryHandle>(info->fh));
  request.done();
  fuse_reply_err(req, 0);
}

void on_readdir(fuse_req_t req, fuse_ino_t node, std::size_t size, off_t offset, fuse_file_info* info) {
  list(req, node, size, offset, info, Listing::plain);
}
void on_readdirplus(fuse_req_t req, fuse_ino_t node, std::size_t size, off_t offset, fuse_file_info* info) {
  list(req, node, size, offset, info, Listing::plus);
}

}  // namespace hearth
