// Identifiers and offsets as types of their own, so that one is never taken for another.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace hearth {

// A number with a name. `Tag` only tells types apart.
template <class Tag, class Number = std::uint64_t>
struct StrongId {
  Number value{};
  constexpr auto operator<=>(const StrongId&) const = default;
};

using InodeId = StrongId<struct InodeTag>;            // 1 is the root; never reused
using AttachmentId = StrongId<struct AttachmentTag, std::uint32_t>;
using WorkerId = StrongId<struct WorkerTag>;          // 64 random bits, chosen by the worker once per data directory or start
using FileOffset = StrongId<struct FileOffsetTag>;    // bytes from the start of the file
using BlockOffset = StrongId<struct BlockOffsetTag>;  // bytes from the start of the block
using PageIndex = StrongId<struct PageIndexTag, std::uint32_t>;  // page number inside a block

inline constexpr InodeId root_inode{1};

// Identity of a block's content: XXH3-128 over (store, path in the store, file version,
// span); see block_id() in common/block.h. A new file version has new ids, so a
// stale block can not be reached.
struct BlockId {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  constexpr auto operator<=>(const BlockId&) const = default;

  std::string to_hex() const;                               // 32 lower-case hex digits
  static std::optional<BlockId> from_hex(std::string_view text);
};

struct BlockIdHash {
  using is_avalanching = void;
  std::size_t operator()(const BlockId& id) const { return id.low ^ (id.high * 0x9E3779B97F4A7C15ULL); }
};

// W3C trace context ids; zero means "none".
struct TraceContext {
  std::array<std::uint8_t, 16> trace_id{};
  std::uint64_t span_id = 0;
  bool operator==(const TraceContext&) const = default;
};

}  // namespace hearth

template <class Tag, class Number>
struct std::hash<hearth::StrongId<Tag, Number>> {
  std::size_t operator()(hearth::StrongId<Tag, Number> id) const { return std::hash<Number>{}(id.value); }
};
