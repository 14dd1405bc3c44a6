#include "common/block_wire.h"

#include "proto/hearth.pb.h"

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
  return ok();
}

}  // namespace

void block_to_wire(const BlockRef& block, proto::BlockRef& out) {
  out.set_id_high(block.id.high);
  out.set_id_low(block.id.low);
  out.set_attachment(block.attachment.value);
  out.set_store_path(block.store_path);
  out.set_version(block.version);
  out.set_start_bytes(block.start.value);
  out.set_length_bytes(block.length_bytes);
  out.set_page_size_bytes(block.page_size_bytes);
}

BlockId block_id_from_wire(const proto::BlockRef& message) { return BlockId{message.id_high(), message.id_low()}; }

Result<BlockRef> block_from_wire(const proto::BlockRef& message) {
  if (message.id_high() == 0 && message.id_low() == 0) {
    return Error(Code::invalid_argument, "a block without an id was named; resolve the path again");
  }
  CHECK_OK(check_bytes(message));
  CHECK_OK(check_names(message));
  BlockRef block;
  block.id = block_id_from_wire(message);
  block.attachment = AttachmentId{message.attachment()};
  block.store_path = message.store_path();
  block.version = message.version();
  block.start = FileOffset{message.start_bytes()};
  block.length_bytes = message.length_bytes();
  block.page_size_bytes = message.page_size_bytes();
  return block;
}

}  // namespace hearth
