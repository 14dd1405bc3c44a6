#include "tiering/nvme/index_format.h"

#include "common/crc32c.h"

#include <algorithm>
#include <cstring>

namespace hearth {
namespace {

constexpr std::string_view magic = "HEARTHPI";

template <class Number>
void put(std::span<std::byte> bytes, std::size_t at, Number value) {
  const auto number = static_cast<std::uint64_t>(value);
  for (std::size_t i = 0; i < sizeof(Number); ++i) bytes[at + i] = static_cast<std::byte>(number >> (8 * i));
}

template <class Number>
Number get(std::span<const std::byte> bytes, std::size_t at) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < sizeof(Number); ++i) number |= std::to_integer<std::uint64_t>(bytes[at + i]) << (8 * i);
  return static_cast<Number>(number);
}

constexpr std::size_t checksum_at = index_header_bytes - 4;
constexpr std::size_t record_checksum_at = index_record_bytes - 4;

std::uint32_t record_checksum(std::span<const std::byte> record, const DeviceIdentity& device, std::uint32_t slot) {
  std::array<std::byte, 20> place{};
  std::copy(device.uuid.begin(), device.uuid.end(), place.begin());
  put(std::span<std::byte>(place), 16, slot);
  return crc32c(record.first(record_checksum_at), crc32c(place));
}

}  // namespace

std::string DeviceIdentity::uuid_text() const {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : uuid) {
    text += digits[std::to_integer<unsigned>(byte >> 4)];
    text += digits[std::to_integer<unsigned>(byte & std::byte{15})];
  }
  return text;
}

IndexSector encode_identity(const DeviceIdentity& identity) {
  IndexSector sector{};
  std::memcpy(sector.data(), magic.data(), magic.size());
  put<std::uint32_t>(sector, 8, page_index_format_version);
  put<std::uint32_t>(sector, 12, index_record_bytes);
  std::copy(identity.uuid.begin(), identity.uuid.end(), sector.begin() + 16);
  put(std::span<std::byte>(sector), 32, identity.cluster_id);
  put(std::span<std::byte>(sector), 40, identity.worker_id);
  put(std::span<std::byte>(sector), 48, identity.max_page_bytes);
  put(std::span<std::byte>(sector), 56, identity.created_ns);
  put<std::uint32_t>(sector, checksum_at, crc32c(std::span<const std::byte>(sector).first(checksum_at)));
  return sector;
}

Result<DeviceIdentity> decode_identity(std::span<const std::byte> sector, std::string_view what) {
  const std::string file(what);
  if (sector.size() < index_header_bytes) return Error(Code::corrupt, file + " is shorter than its header");
  if (std::memcmp(sector.data(), magic.data(), magic.size()) != 0) return Error(Code::corrupt, file + " does not begin as a file of a Hearth tier");
  const auto version = get<std::uint32_t>(sector, 8);
  // Every version keeps magic, version and this checksum in their places, so that a damaged header is not taken for a newer one.
  if (get<std::uint32_t>(sector, checksum_at) != crc32c(sector.first(checksum_at))) {
    return Error(Code::corrupt, file + " is damaged: its header does not match its checksum");
  }
  if (version < oldest_page_index_format_version || version > page_index_format_version) {
    return Error(Code::version_mismatch,
                 file + " has format version " + std::to_string(version) + ", this build knows " + std::to_string(page_index_format_version) +
                     "; run the build that wrote it, or start the tier empty with if_unreadable = \"rebuild\" (only cached data is lost)");
  }
  if (get<std::uint32_t>(sector, 12) != index_record_bytes) return Error(Code::corrupt, file + " claims records of another size");
  DeviceIdentity identity;
  identity.format_version = version;
  std::copy_n(sector.begin() + 16, identity.uuid.size(), identity.uuid.begin());
  identity.cluster_id = get<std::uint64_t>(sector, 32);
  identity.worker_id = get<std::uint64_t>(sector, 40);
  identity.max_page_bytes = get<std::uint32_t>(sector, 48);
  identity.created_ns = get<std::int64_t>(sector, 56);
  return identity;
}

void encode_record(const IndexRecord& record, const DeviceIdentity& device, std::uint32_t slot, std::span<std::byte, index_record_bytes> into) {
  std::fill(into.begin(), into.end(), std::byte{0});
  put(into, 0, record.block.high);
  put(into, 8, record.block.low);
  put(into, 16, record.block_start);
  put(into, 24, record.block_length);
  put(into, 32, record.page);
  put(into, 36, record.page_size_bytes);
  put(into, 40, record.crc);
  put(into, 44, record.last_access);
  put<std::uint8_t>(into, 48, 1);
  put(into, 49, record.pinned);
  put(into, 50, record.at_expiry);
  put(into, 52, record.expires_s);
  put<std::uint32_t>(into, record_checksum_at, record_checksum(into, device, slot));
}

RecordKind decode_record(std::span<const std::byte, index_record_bytes> bytes, const DeviceIdentity& device, std::uint32_t slot, IndexRecord& into) {
  if (std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; })) return RecordKind::empty;
  if (get<std::uint32_t>(bytes, record_checksum_at) != record_checksum(bytes, device, slot)) return RecordKind::damaged;
  into.block = BlockId{get<std::uint64_t>(bytes, 0), get<std::uint64_t>(bytes, 8)};
  into.block_start = get<std::uint64_t>(bytes, 16);
  into.block_length = get<std::uint64_t>(bytes, 24);
  into.page = get<std::uint32_t>(bytes, 32);
  into.page_size_bytes = get<std::uint32_t>(bytes, 36);
  into.crc = get<std::uint32_t>(bytes, 40);
  into.last_access = get<std::uint32_t>(bytes, 44);
  into.pinned = get<std::uint8_t>(bytes, 49);
  into.at_expiry = get<std::uint8_t>(bytes, 50);
  into.expires_s = get<std::uint32_t>(bytes, 52);
  return RecordKind::valid;
}

std::string block_file_name(const BlockId& id) {
  const std::string hex = id.to_hex();
  return hex.substr(0, 2) + "/" + hex;
}

std::optional<BlockId> block_of_file_name(std::string_view name) {
  if (name.size() != 35 || name[2] != '/' || name.substr(0, 2) != name.substr(3, 2)) return std::nullopt;
  const std::optional<BlockId> id = BlockId::from_hex(name.substr(3));
  if (!id || block_file_name(*id) != name) return std::nullopt;
  return id;
}

}  // namespace hearth
