#include "client/src/convert.h"

#include "common/block_wire.h"
#include "proto/hearth.pb.h"

#include <algorithm>

namespace hearth::client {
namespace {

EntryType to_type(proto::FileType type) {
  switch (type) {
    case proto::REGULAR: return EntryType::regular;
    case proto::DIRECTORY: return EntryType::directory;
    case proto::SYMLINK: return EntryType::symlink;
    default: return EntryType::other;
  }
}

// The blocks cover exactly the file, in order, and all but the last have the first one's length.
bool covers(const std::vector<BlockRef>& blocks, std::uint64_t length_bytes) {
  std::uint64_t at = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const BlockRef& block = blocks[i];
    if (block.start.value != at || block.length_bytes == 0 || block.length_bytes > length_bytes - at) return false;
    if (block.length_bytes > blocks[0].length_bytes) return false;
    if (i + 1 < blocks.size() && block.length_bytes != blocks[0].length_bytes) return false;
    at += block.length_bytes;
  }
  return at == length_bytes;
}

AttachmentOptions to_options(const proto::AttachmentOptions& options) {
  AttachmentOptions out;
  out.metadata_ttl = std::chrono::milliseconds(options.metadata_ttl_ms());
  if (options.block_size_bytes() != 0) out.block_size_bytes = options.block_size_bytes();
  if (options.page_size_bytes() != 0) out.page_size_bytes = options.page_size_bytes();
  out.serve_stale = static_cast<AttachmentOptions::ServeStale>(options.serve_stale());
  out.placement = options.placement() == proto::AttachmentOptions::HASH ? AttachmentOptions::Placement::hash
                                                                        : AttachmentOptions::Placement::local_first;
  out.read_only = options.read_only();
  for (const auto& [name, value] : options.store_options()) out.store_options[name] = value;
  return out;
}

}  // namespace

FileStatus to_status(const proto::FileInfo& info) {
  FileStatus out;
  out.inode = info.inode();
  out.type = to_type(info.type());
  out.length_bytes = info.length_bytes();
  out.mode = info.mode();
  out.uid = info.uid();
  out.gid = info.gid();
  out.link_count = info.link_count();
  out.mtime_ns = info.mtime_ns();
  out.ctime_ns = info.ctime_ns();
  out.atime_ns = info.atime_ns();
  out.special = info.special();
  out.device = info.device();
  if (info.has_allocated_bytes()) out.allocated_bytes = info.allocated_bytes();
  out.writable = info.writable();
  out.version = info.version();
  out.symlink_target = info.symlink_target();
  out.attachment = info.attachment();
  out.served_stale = info.served_stale();
  // A day bounds what a confused master can make us believe (and keeps the arithmetic from overflowing).
  out.ttl = std::chrono::milliseconds(std::min<std::uint64_t>(info.ttl_ms(), 86'400'000));
  return out;
}

TierStatus to_tier(const proto::TierInfo& info) {
  TierStatus out;
  out.name = info.name();
  out.directory = info.directory();
  out.capacity_bytes = info.capacity_bytes();
  out.used_bytes = info.used_bytes();
  out.block_count = info.block_count();
  out.state = info.state();
  out.reason = info.reason();
  out.engine = info.engine();
  out.fallback_reason = info.fallback_reason();
  out.read_bytes = info.read_bytes();
  out.written_bytes = info.written_bytes();
  out.evicted_bytes = info.evicted_bytes();
  out.corrupt_pages = info.corrupt_pages();
  out.unverified_pages = info.unverified_pages();
  return out;
}

WorkerStatus to_worker(const proto::WorkerInfo& info) {
  WorkerStatus out;
  out.id = info.worker_id();
  out.host = info.host();
  out.address = info.address();
  out.local_socket = info.local_socket();
  switch (info.state()) {
    case proto::WorkerInfo::LIVE: out.state = "live"; break;
    case proto::WorkerInfo::DRAINING: out.state = "draining"; break;
    case proto::WorkerInfo::LOST: out.state = "lost"; break;
    default: out.state = "unknown"; break;
  }
  out.capacity_bytes = info.capacity_bytes();
  out.used_bytes = info.used_bytes();
  out.leased_bytes = info.leased_bytes();
  out.block_count = info.block_count();
  out.hit_bytes = info.hit_bytes();
  out.miss_bytes = info.miss_bytes();
  out.since_heartbeat = std::chrono::milliseconds(info.since_heartbeat_ms());
  out.version = info.version();
  out.fetched_bytes = info.fetched_bytes();
  out.fetches = info.fetches();
  out.policy_version = info.policy_version();
  out.policy_problem = info.policy_problem();
  for (const proto::TierInfo& tier : info.tiers()) out.tiers.push_back(to_tier(tier));
  return out;
}

AttachmentStatus to_attachment(const proto::Attachment& attachment) {
  AttachmentStatus out;
  out.id = attachment.id();
  out.path = attachment.path();
  out.uri = attachment.uri();
  out.options = to_options(attachment.options());
  return out;
}

void to_proto(const AttachmentOptions& options, proto::AttachmentOptions& out) {
  out.set_metadata_ttl_ms(static_cast<std::uint64_t>(options.metadata_ttl.count()));
  out.set_block_size_bytes(options.block_size_bytes);
  out.set_page_size_bytes(options.page_size_bytes);
  out.set_read_only(options.read_only);
  out.set_serve_stale(static_cast<proto::AttachmentOptions::ServeStale>(options.serve_stale));
  out.set_placement(options.placement == AttachmentOptions::Placement::hash ? proto::AttachmentOptions::HASH
                                                                           : proto::AttachmentOptions::LOCAL_FIRST);
  for (const auto& [name, value] : options.store_options) (*out.mutable_store_options())[name] = value;
}

Result<Resolution> to_resolution(const std::string& path, const proto::ResolveReply& reply, TimePoint asked) {
  Resolution out;
  out.path = path;
  out.status = to_status(reply.info());
  out.blocks.reserve(static_cast<std::size_t>(reply.blocks_size()));
  for (const auto& message : reply.blocks()) {
    Result<BlockRef> block = block_from_wire(message);
    if (!block) return Error(Code::bad_frame, "the master's answer for " + path + " is not usable: " + block.error().message());
    out.blocks.push_back(std::move(block).value());
  }
  const bool regular = out.status.type == EntryType::regular;
  if (regular && !covers(out.blocks, out.status.length_bytes)) {
    return Error(Code::bad_frame, "the master's answer for " + path +
                                      " has blocks that do not cover the file; check that master and client have the same version");
  }
  out.locations.resize(out.blocks.size());
  const auto known = std::min(out.blocks.size(), static_cast<std::size_t>(reply.locations_size()));
  for (std::size_t i = 0; i < known; ++i) {
    for (const std::uint64_t id : reply.locations(static_cast<int>(i)).worker_ids()) {
      out.locations[i].push_back(WorkerId{id});
    }
  }
  out.store_uri = reply.store_uri();
  AttachmentOptions options = to_options(reply.options());
  out.placement = options.placement;
  out.store_options = std::move(options.store_options);
  out.worker_table_version = reply.worker_table_version();
  out.expires = asked + out.status.ttl;
  return out;
}

Status check_path(std::string_view path) {
  const std::string shown(path.substr(0, 256));
  if (path.empty() || path[0] != '/') {
    return Error(Code::invalid_argument, "the path '" + shown + "' is not absolute; start it with '/'");
  }
  if (path.find('\0') != std::string_view::npos) {
    return Error(Code::invalid_argument, "the path '" + shown + "' contains a zero byte");
  }
  if (path == "/") return ok();
  for (std::size_t at = 1; at <= path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string_view component = path.substr(at, end - at);
    if (component.empty() || component == "." || component == "..") {
      return Error(Code::invalid_argument, "the path '" + shown + "' has an empty, '.' or '..' component; write it without");
    }
    at = end + 1;
  }
  return ok();
}

std::string_view parent_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string_view::npos ? std::string_view("/") : path.substr(0, slash);
}

std::string join(std::string_view directory, std::string_view name) {
  std::string out(directory);
  if (out.empty() || out.back() != '/') out += '/';
  out += name;
  return out;
}

Result<std::string> symlink_destination(std::string_view link, std::string_view target) {
  if (target.empty() || target[0] == '/') {
    return Error(Code::invalid_argument, "the symlink " + std::string(link) + " points to '" + std::string(target) +
                                             "', outside of the namespace; open the file itself");
  }
  std::string at(parent_of(link));
  for (std::size_t from = 0; from <= target.size();) {
    const std::size_t end = std::min(target.find('/', from), target.size());
    const std::string_view component = target.substr(from, end - from);
    from = end + 1;
    if (component.empty() || component == ".") continue;
    if (component != "..") {
      at = join(at, component);
      continue;
    }
    if (at == "/") {
      return Error(Code::invalid_argument, "the symlink " + std::string(link) + " points to '" + std::string(target) +
                                               "', above the root of the namespace; open the file itself");
    }
    at = std::string(parent_of(at));
  }
  return at;
}

}  // namespace hearth::client
