#include "worker/wire.h"

#include "common/net/method.h"
#include "proto/hearth.pb.h"

#include <string>

namespace hearth::worker {

Result<BlockRef> block_ref_from(const proto::BlockRef& message) {
  BlockRef block;
  block.id = BlockId{message.id_high(), message.id_low()};
  block.attachment = AttachmentId{message.attachment()};
  block.store_path = message.store_path();
  block.version = message.version();
  block.start = FileOffset{message.start_bytes()};
  block.length_bytes = message.length_bytes();
  block.page_size_bytes = message.page_size_bytes();
  const std::string which = "block " + block.id.to_hex();
  if (block.length_bytes == 0 || block.length_bytes > max_block_size_bytes) {
    return Error(Code::invalid_argument, which + " has a length of " + std::to_string(block.length_bytes) +
                                             " bytes; a block has 1 to " + std::to_string(max_block_size_bytes));
  }
  if (block.start.value > UINT64_MAX - block.length_bytes) {
    return Error(Code::invalid_argument, which + " begins at " + std::to_string(block.start.value) +
                                             ", beyond any file; resolve the path again");
  }
  const std::uint32_t page = block.page_size_bytes;
  if (page < checksum_chunk_bytes || page > max_page_size_bytes || page % checksum_chunk_bytes != 0) {
    return Error(Code::invalid_argument, which + " has pages of " + std::to_string(page) +
                                             " bytes; they are multiples of 64 KiB up to 16 MiB");
  }
  return block;
}

void block_ref_to(const BlockRef& block, proto::BlockRef& message) {
  message.set_id_high(block.id.high);
  message.set_id_low(block.id.low);
  message.set_attachment(block.attachment.value);
  message.set_store_path(block.store_path);
  message.set_version(block.version);
  message.set_start_bytes(block.start.value);
  message.set_length_bytes(block.length_bytes);
  message.set_page_size_bytes(block.page_size_bytes);
}

Status parse_body(const ServerCall& call, google::protobuf::MessageLite& into) {
  if (into.ParseFromString(call.body())) return ok();
  return Error(Code::invalid_argument, "the body of a " + std::string(name(call.method())) +
                                           " request could not be parsed; is the peer another version?");
}

ServerReply reply_with(const google::protobuf::MessageLite& body) {
  ServerReply reply;
  reply.body = body.SerializeAsString();
  return reply;
}

Status check_range(const BlockRef& block, std::uint64_t offset, std::uint64_t length) {
  if (offset <= block.length_bytes && length <= block.length_bytes - offset) return ok();
  return Error(Code::invalid_argument, "bytes " + std::to_string(offset) + " to " + std::to_string(offset) + "+" +
                                           std::to_string(length) + " are past the end of block " +
                                           block.id.to_hex() + " (" + std::to_string(block.length_bytes) + " bytes)");
}

}  // namespace hearth::worker
