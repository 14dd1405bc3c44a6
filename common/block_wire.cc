#include "common/block_wire.h"

#include "proto/hearth.pb.h"

#include <algorithm>
#include <bit>
#include <string>

namespace hearth {
namespace {

Error wrong(const proto::BlockRef& message, const std::string& what) {
  return Error(Code::invalid_argument, "block " + block_id_from_wire(message).to_hex() + " " + what +
                                           "; resolve the path again, and check that both ends have the same version");
}

Status check_bytes(const proto::BlockRef& message) {
  const std::uint64_t length = message.length_bytes();
  if (length == 0 || length > max_block_size_bytes) {
    return wrong(message, "has a length of " + std::to_string(length) + " bytes, where 1 to " +
                              std::to_string(max_block_size_bytes) + " are allowed");
  }
  if (message.start_bytes() > static_cast<std::uint64_t>(INT64_MAX) - length) {
    return wrong(message, "begins at " + std::to_string(message.start_bytes()) + ", beyond any file");
  }
  const std::uint32_t page = message.page_size_bytes();
  if (page < min_page_size_bytes || page > max_page_size_bytes || !std::has_single_bit(page)) {
    return wrong(message, "has pages of " + std::to_string(page) + " bytes, not a power of two of 64 KiB to 16 MiB");
  }
  return ok();
}

// Not part of the id, and still not anything: rules decide by it.
Status check_file(const proto::BlockRef& message) {
  const std::uint64_t length = message.file_length_bytes();
  if (length == 0) return ok();  // of a peer that does not say
  if (length > static_cast<std::uint64_t>(INT64_MAX) || length < message.start_bytes() + message.length_bytes()) {
    return wrong(message, "ends beyond its file of " + std::to_string(length) + " bytes");
  }
  return ok();
}

Status check_names(const proto::BlockRef& message) {
  const std::string& path = message.store_path();
  if (path.size() > max_store_path_bytes) {
    return wrong(message, "has a path of " + std::to_string(path.size()) + " bytes, where " +
                              std::to_string(max_store_path_bytes) + " are allowed");
  }
  if (path.find('\0') != std::string::npos || path.starts_with('/')) {
    return wrong(message, "has a path that begins with a slash or contains a zero byte");
  }
  if (message.version().size() > max_file_version_bytes) {
    return wrong(message, "has a file version of " + std::to_string(message.version().size()) + " bytes, where " +
                              std::to_string(max_file_version_bytes) + " are allowed");
  }
  if (const Status tenant = check_tenant(message.tenant()); !tenant) return wrong(message, tenant.error().message());
  return ok();
}

std::uint64_t little_endian_at(std::string_view bytes, std::size_t at) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < 8; ++i) number |= std::uint64_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
  return number;
}

void append_little_endian(std::string& out, std::uint64_t number) {
  for (int shift = 0; shift < 64; shift += 8) out.push_back(static_cast<char>(number >> shift));
}

}  // namespace

Status check_tenant(std::string_view tenant) {
  const auto is_control = [](char byte) { return static_cast<unsigned char>(byte) < 0x20 || byte == 0x7f; };
  if (tenant.size() <= max_tenant_bytes && std::none_of(tenant.begin(), tenant.end(), is_control)) return ok();
  return Error(Code::invalid_argument, "has a tenant that is longer than " + std::to_string(max_tenant_bytes) +
                                           " bytes or contains a control character");
}

void block_to_wire(const BlockRef& block, proto::BlockRef& out) {
  out.set_id_high(block.id.high);
  out.set_id_low(block.id.low);
  out.set_attachment(block.attachment.value);
  out.set_store_path(block.store_path);
  out.set_version(block.version);
  out.set_start_bytes(block.start.value);
  out.set_length_bytes(block.length_bytes);
  out.set_page_size_bytes(block.page_size_bytes);
  out.set_file_length_bytes(block.file.length_bytes);
  if (block.file.uid != BlockFile::unknown_id) out.set_uid(block.file.uid);
  if (block.file.gid != BlockFile::unknown_id) out.set_gid(block.file.gid);
  if (block.file.mode != BlockFile::unknown_mode) out.set_mode(block.file.mode);
  out.set_tenant(block.file.tenant);
}

BlockId block_id_from_wire(const proto::BlockRef& message) { return BlockId{message.id_high(), message.id_low()}; }

std::string block_ids_to_wire(const std::vector<BlockId>& ids) {
  std::string out;
  out.reserve(ids.size() * 16);
  for (const BlockId& id : ids) {
    append_little_endian(out, id.high);
    append_little_endian(out, id.low);
  }
  return out;
}

Result<std::vector<BlockId>> block_ids_from_wire(std::string_view bytes) {
  if (bytes.size() % 16 != 0) {
    return Error(Code::invalid_argument, "a list of block ids has " + std::to_string(bytes.size()) + " bytes, which is not a multiple of 16");
  }
  std::vector<BlockId> out;
  out.reserve(bytes.size() / 16);
  for (std::size_t at = 0; at < bytes.size(); at += 16) {
    out.push_back(BlockId{little_endian_at(bytes, at), little_endian_at(bytes, at + 8)});
  }
  return out;
}

Result<BlockRef> block_from_wire(const proto::BlockRef& message) {
  if (message.id_high() == 0 && message.id_low() == 0) {
    return Error(Code::invalid_argument, "a block without an id was named; resolve the path again");
  }
  CHECK_OK(check_bytes(message));
  CHECK_OK(check_file(message));
  CHECK_OK(check_names(message));
  BlockRef block;
  block.id = block_id_from_wire(message);
  block.attachment = AttachmentId{message.attachment()};
  block.store_path = message.store_path();
  block.version = message.version();
  block.start = FileOffset{message.start_bytes()};
  block.length_bytes = message.length_bytes();
  block.page_size_bytes = message.page_size_bytes();
  block.file.length_bytes = message.file_length_bytes();
  if (message.has_uid()) block.file.uid = message.uid();
  if (message.has_gid()) block.file.gid = message.gid();
  if (message.has_mode()) block.file.mode = message.mode() & 07777;
  block.file.tenant = message.tenant();
  return block;
}

}  // namespace hearth
