#include "worker/wire.h"

#include "common/block_wire.h"
#include "common/net/method.h"
#include "proto/hearth.pb.h"
#include "worker/page_bytes.h"
#include "worker/tiers.h"

#include <string>

namespace hearth::worker {

void tier_to_wire(const TierStatus& tier, proto::TierInfo& message) {
  message.set_name(tier.name);
  message.set_directory(tier.directory);
  message.set_capacity_bytes(tier.capacity_bytes);
  message.set_used_bytes(tier.used_bytes);
  message.set_block_count(tier.blocks);
  message.set_state(tier.state);
  message.set_reason(tier.reason);
  message.set_engine(tier.engine);
  message.set_fallback_reason(tier.fallback_reason);
  message.set_read_bytes(tier.device.read_bytes);
  message.set_written_bytes(tier.device.written_bytes);
  message.set_evicted_bytes(tier.device.evicted_bytes);
  message.set_corrupt_pages(tier.device.corrupt_pages);
  message.set_unverified_pages(tier.device.unverified_pages);
}

bool place_to_wire(const Tiers& tiers, const BlockRef& block, const PageBytes& bytes, proto::PackedPlace& out) {
  if (bytes.bytes().size() != block.length_bytes) return false;
  const std::optional<PackedPlace> place = tiers.packed_place(block.id);
  if (!place) return false;
  out.set_segment_id(block_ids_to_wire({place->segment}));
  out.set_offset_bytes(place->offset_bytes);
  // One content has one id: these are the checksums of the bytes there, wherever `bytes` came from.
  const std::span<const std::uint32_t> checksums = bytes.chunk_checksums();
  out.mutable_chunk_checksums()->Add(checksums.begin(), checksums.end());
  return true;
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

std::string checksums_to_wire(std::span<const std::uint32_t> checksums) {
  std::string out;
  out.reserve(checksums.size() * 4);
  for (const std::uint32_t checksum : checksums) {
    for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<char>((checksum >> shift) & 0xFF));
  }
  return out;
}

Status check_range(const BlockRef& block, std::uint64_t offset, std::uint64_t length) {
  if (offset <= block.length_bytes && length <= block.length_bytes - offset) return ok();
  return Error(Code::invalid_argument, "bytes " + std::to_string(offset) + " to " + std::to_string(offset) + "+" +
                                           std::to_string(length) + " are past the end of block " +
                                           block.id.to_hex() + " (" + std::to_string(block.length_bytes) + " bytes)");
}

}  // namespace hearth::worker
