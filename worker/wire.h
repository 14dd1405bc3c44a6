// Between the bodies of the wire contract and the worker's own types.
#pragma once

#include <hearth/result.h>

#include "common/block.h"
#include "common/net/rpc.h"

#include <cstdint>
#include <memory>
#include <string>

namespace hearth::proto {
class BlockRef;
}
namespace google::protobuf {
class MessageLite;
}

namespace hearth::worker {

// Largest piece of a block that one read may ask for, and the largest page a block may have (one frame carries it).
inline constexpr std::uint64_t max_read_bytes = 64ULL << 20;
inline constexpr std::uint32_t max_page_size_bytes = 16U << 20;

// invalid_argument when lengths or page size are not those of a block.
Result<BlockRef> block_ref_from(const proto::BlockRef& message);
void block_ref_to(const BlockRef& block, proto::BlockRef& message);

// invalid_argument when the body is not that message.
Status parse_body(const ServerCall& call, google::protobuf::MessageLite& into);
ServerReply reply_with(const google::protobuf::MessageLite& body);

// invalid_argument unless [offset, offset + length) lies in the block.
Status check_range(const BlockRef& block, std::uint64_t offset, std::uint64_t length);

}  // namespace hearth::worker
