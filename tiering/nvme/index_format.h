// The bytes of the files that a tier keeps beside its blocks: identity, page index. docs/formats/page_index.md.
//
// Threads: pure functions.
// Fails:   corrupt (magic or checksum), version_mismatch (a format this build does not know); the message says what to do.
#pragma once

#include <hearth/result.h>

#include "common/ids.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace hearth {

// Any change of the bytes is a new version, a new document, and new golden bytes.
inline constexpr std::uint32_t page_index_format_version = 2;
// Read as well, and rewritten as the present one: version 1 had no times to live.
inline constexpr std::uint32_t oldest_page_index_format_version = 1;
inline constexpr std::size_t index_header_bytes = 4096;
inline constexpr std::size_t index_record_bytes = 64;

inline constexpr std::string_view identity_file_name = "identity";
inline constexpr std::string_view index_file_name = "index";
inline constexpr std::string_view sums_file_name = "sums";
inline constexpr std::string_view probe_file_name = "probe";
inline constexpr std::string_view clean_file_name = "clean";  // is there after an orderly end, and only then

// Whose directory this is. The same sector opens the index and is the whole identity file: each repairs the other.
struct DeviceIdentity {
  std::array<std::byte, 16> uuid{};  // random, chosen when the directory was first used
  std::uint64_t cluster_id = 0;
  std::uint64_t worker_id = 0;
  std::uint32_t max_page_bytes = 0;  // how far apart the entries of the checksum file lie
  std::int64_t created_ns = 0;       // wall clock, for people
  std::uint32_t format_version = page_index_format_version;  // of the file it was read from; written as the present one
  bool operator==(const DeviceIdentity&) const = default;

  std::string uuid_text() const;     // 32 hex digits
};

using IndexSector = std::array<std::byte, index_header_bytes>;
IndexSector encode_identity(const DeviceIdentity& identity);
// `what` names the file in messages.
Result<DeviceIdentity> decode_identity(std::span<const std::byte> sector, std::string_view what);

// One resident page. Complete in itself, so that a lost neighbour costs nothing.
struct IndexRecord {
  BlockId block;
  std::uint64_t block_start = 0;   // in the file
  std::uint64_t block_length = 0;
  std::uint32_t page = 0;
  std::uint32_t page_size_bytes = 0;
  std::uint32_t crc = 0;           // CRC32C of the page
  std::uint32_t last_access = 0;   // seconds of the tier's life
  std::uint8_t pinned = 0;
  std::uint8_t at_expiry = 0;      // of the block: 0 it has none, 1 free, 2 expire
  std::uint32_t expires_s = 0;     // since 1970, UTC
  bool operator==(const IndexRecord&) const = default;
};

enum class RecordKind : std::uint8_t { empty, valid, damaged };

// A record is tied to its place and its device: one that was written elsewhere is damaged here.
void encode_record(const IndexRecord& record, const DeviceIdentity& device, std::uint32_t slot, std::span<std::byte, index_record_bytes> into);
RecordKind decode_record(std::span<const std::byte, index_record_bytes> bytes, const DeviceIdentity& device, std::uint32_t slot, IndexRecord& into);

inline std::uint64_t record_offset(std::uint32_t slot) { return index_header_bytes + std::uint64_t{slot} * index_record_bytes; }

// "ab/" and the 32 hex digits of the id: 256 directories, each with a 256th of the blocks.
std::string block_file_name(const BlockId& id);
// The id, when the name is exactly what block_file_name() makes.
std::optional<BlockId> block_of_file_name(std::string_view name);

}  // namespace hearth
