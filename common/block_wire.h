// The one place where a block goes onto the wire and comes off it (BlockRef of proto/hearth.proto).
//
// Threads: pure functions.
// Fails:   invalid_argument: a field is out of its range, with a message that names the block and the field.
#pragma once

#include <hearth/result.h>

#include "common/block.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::proto {
class BlockRef;
}

namespace hearth {

inline constexpr std::size_t max_store_path_bytes = 4096;    // as a path of the namespace
inline constexpr std::size_t max_file_version_bytes = 4096;  // opaque: an under-store's entity tag and version id
inline constexpr std::size_t max_tenant_bytes = 64;

void block_to_wire(const BlockRef& block, proto::BlockRef& out);

// A block that keeps its promises: an id that is not zero, a length of 1 to max_block_size_bytes, bytes of a file that
// can exist, pages that are a power of two within bounds, a relative path without a zero byte, a file that is long enough
// for the block (or of a length that was not sent), a tenant without control characters.
Result<BlockRef> block_from_wire(const proto::BlockRef& message);

// invalid_argument: too long, or with a control character. "" is no tenant, and fine.
Status check_tenant(std::string_view tenant);

// The id alone, for whoever only looks it up.
BlockId block_id_from_wire(const proto::BlockRef& message);

// Ids in one string: 16 bytes each, high then low, little-endian. invalid_argument: not a multiple of 16 bytes.
std::string block_ids_to_wire(const std::vector<BlockId>& ids);
Result<std::vector<BlockId>> block_ids_from_wire(std::string_view bytes);

}  // namespace hearth
