// Digests that S3 speaks in: SHA-256, HMAC, MD5, and their spellings.
//
// Threads: pure functions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace hearth::s3 {

using Sha256 = std::array<std::uint8_t, 32>;
using Bytes = std::span<const std::byte>;

Sha256 sha256(std::string_view data);
Sha256 sha256(std::span<const Bytes> parts);  // of the parts in a row
Sha256 hmac_sha256(std::string_view key, std::string_view data);
std::array<std::uint8_t, 16> md5(std::string_view data);

std::string hex(std::span<const std::uint8_t> bytes);  // lower case
std::string base64(std::span<const std::uint8_t> bytes);
std::optional<std::string> base64_decode(std::string_view text);

inline std::string_view view(const Sha256& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}
inline Bytes as_bytes_of(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }

// CRC-64/NVME (NVM Command Set 1.0c, 5.2.1.3.4: reflected 0x9A6C9329AC4BC9B5, initial and final all ones), as
// x-amz-checksum-crc64nvme carries it.
std::uint64_t crc64nvme(Bytes bytes, std::uint64_t seed = 0);
// Of two runs of bytes in a row, from those of each: `second` is of `second_length_bytes` bytes.
std::uint64_t crc64nvme_of_both(std::uint64_t first, std::uint64_t second, std::uint64_t second_length_bytes);
namespace detail {
std::uint64_t crc64nvme_portable(Bytes bytes, std::uint64_t seed = 0);  // where the processor has no carry-less multiplication
}

// Checksums on the wire are base64 of the big-endian number.
std::string base64_of_number(std::uint32_t number);
std::string base64_of_number(std::uint64_t number);

}  // namespace hearth::s3
