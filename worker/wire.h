// Between the bodies of the wire contract and the worker's own types.
#pragma once

#include <hearth/result.h>

#include "common/block.h"
#include "common/net/rpc.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace google::protobuf {
class MessageLite;
}

namespace hearth::proto {
class PackedPlace;
class TierInfo;
}

namespace hearth::worker {

class PageBytes;
class Tiers;
struct TierStatus;

void tier_to_wire(const TierStatus& tier, proto::TierInfo& message);

// Largest piece of a block that one read may ask for.
inline constexpr std::uint64_t max_read_bytes = 64ULL << 20;

// invalid_argument when the body is not that message.
Status parse_body(const ServerCall& call, google::protobuf::MessageLite& into);
ServerReply reply_with(const google::protobuf::MessageLite& body);

// 4 bytes little-endian each.
std::string checksums_to_wire(std::span<const std::uint32_t> checksums);

// Where the block lies in a segment; `bytes` of it were just read. False, and nothing done, where it does not, or where the
// checksums of all of it are not at hand.
bool place_to_wire(const Tiers& tiers, const BlockRef& block, const PageBytes& bytes, proto::PackedPlace& out);

// invalid_argument unless [offset, offset + length) lies in the block.
Status check_range(const BlockRef& block, std::uint64_t offset, std::uint64_t length);

}  // namespace hearth::worker
