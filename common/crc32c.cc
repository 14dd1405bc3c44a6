#include "common/crc32c.h"

#include "common/block.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace hearth {
namespace {

constexpr std::uint32_t polynomial = 0x82F63B78;  // reflected

// ---- arithmetic modulo the polynomial (as in zlib's crc32_combine): bit 31 is x^0 -------------

constexpr std::uint32_t multiply(std::uint32_t a, std::uint32_t b) {
  std::uint32_t product = 0;
  for (std::uint32_t bit = 1U << 31; bit != 0; bit >>= 1) {
    if (a & bit) product ^= b;
    b = (b & 1) ? (b >> 1) ^ polynomial : b >> 1;
  }
  return product;
}

// x^(8 * count): multiplying a checksum with it appends `count` zero bytes.
constexpr std::uint32_t power_of_bytes(std::uint64_t count) {
  std::uint32_t result = 1U << 31;       // x^0
  std::uint32_t square = 1U << (31 - 8);  // x^8
  for (; count != 0; count >>= 1) {
    if (count & 1) result = multiply(result, square);
    square = multiply(square, square);
  }
  return result;
}

// ---- portable: eight bytes per step through tables ("slicing by 8") -------------------------------

using Slices = std::array<std::array<std::uint32_t, 256>, 8>;

constexpr Slices make_slices() {
  Slices slices{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) ? (crc >> 1) ^ polynomial : crc >> 1;
    slices[0][byte] = crc;
  }
  for (std::size_t slice = 1; slice < 8; ++slice) {
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t before = slices[slice - 1][byte];
      slices[slice][byte] = (before >> 8) ^ slices[0][before & 0xFF];
    }
  }
  return slices;
}
constexpr Slices slices = make_slices();

std::uint64_t load_little_endian(const unsigned char* at) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
  return word;
}

// `crc` is the inverted register here and below.
std::uint32_t extend_portable(std::uint32_t crc, const unsigned char* at, std::size_t size) {
  for (; size >= 8; at += 8, size -= 8) {
    const std::uint64_t word = load_little_endian(at) ^ crc;
    crc = 0;
    for (std::size_t i = 0; i < 8; ++i) crc ^= slices[7 - i][(word >> (8 * i)) & 0xFF];
  }
  for (; size > 0; ++at, --size) crc = (crc >> 8) ^ slices[0][(crc ^ *at) & 0xFF];
  return crc;
}

#if defined(__x86_64__)
// ---- SSE4.2: the crc32 instruction takes 3 cycles but one can start in each, so three lanes run side
// by side and are joined by shifting the earlier ones over the length of the later ones. ---------

constexpr std::size_t long_lane_bytes = 4096;  // 64 KiB = 5 rounds of three, and a rest of 4 KiB
constexpr std::size_t short_lane_bytes = 256;

// Multiplication by power_of_bytes(lane) as four table lookups.
using ShiftTable = std::array<std::array<std::uint32_t, 256>, 4>;

constexpr ShiftTable make_shift_table(std::uint64_t lane_bytes) {
  const std::uint32_t power = power_of_bytes(lane_bytes);
  ShiftTable table{};
  for (std::size_t byte = 0; byte < 4; ++byte) {
    for (std::size_t bit = 0; bit < 8; ++bit) {
      const std::size_t low = std::size_t{1} << bit;
      table[byte][low] = multiply(power, static_cast<std::uint32_t>(low << (8 * byte)));
      for (std::size_t rest = 1; rest < low; ++rest) table[byte][low | rest] = table[byte][low] ^ table[byte][rest];
    }
  }
  return table;
}
constexpr ShiftTable shift_long = make_shift_table(long_lane_bytes);
constexpr ShiftTable shift_short = make_shift_table(short_lane_bytes);

inline std::uint32_t shift(const ShiftTable& table, std::uint32_t crc) {
  return table[0][crc & 0xFF] ^ table[1][(crc >> 8) & 0xFF] ^ table[2][(crc >> 16) & 0xFF] ^ table[3][crc >> 24];
}

template <std::size_t lane_bytes>
__attribute__((target("sse4.2"))) inline std::uint32_t extend_three_lanes(const ShiftTable& table, std::uint32_t crc,
                                                                          const unsigned char* at) {
  std::uint64_t first = crc;
  std::uint64_t second = 0;
  std::uint64_t third = 0;
  for (const unsigned char* end = at + lane_bytes; at != end; at += 8) {
    first = _mm_crc32_u64(first, load_little_endian(at));
    second = _mm_crc32_u64(second, load_little_endian(at + lane_bytes));
    third = _mm_crc32_u64(third, load_little_endian(at + 2 * lane_bytes));
  }
  const std::uint32_t joined = shift(table, static_cast<std::uint32_t>(first)) ^ static_cast<std::uint32_t>(second);
  return shift(table, joined) ^ static_cast<std::uint32_t>(third);
}

__attribute__((target("sse4.2"))) std::uint32_t extend_sse42(std::uint32_t crc, const unsigned char* at,
                                                             std::size_t size) {
  for (; size >= 3 * long_lane_bytes; at += 3 * long_lane_bytes, size -= 3 * long_lane_bytes) {
    crc = extend_three_lanes<long_lane_bytes>(shift_long, crc, at);
  }
  for (; size >= 3 * short_lane_bytes; at += 3 * short_lane_bytes, size -= 3 * short_lane_bytes) {
    crc = extend_three_lanes<short_lane_bytes>(shift_short, crc, at);
  }
  std::uint64_t wide = crc;
  for (; size >= 8; at += 8, size -= 8) wide = _mm_crc32_u64(wide, load_little_endian(at));
  crc = static_cast<std::uint32_t>(wide);
  for (; size > 0; ++at, --size) crc = _mm_crc32_u8(crc, *at);
  return crc;
}
#endif

using Extend = std::uint32_t (*)(std::uint32_t, const unsigned char*, std::size_t);

Extend choose() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return extend_sse42;
#endif
  return extend_portable;
}

Extend extend() {
  static const Extend chosen = choose();
  return chosen;
}

const unsigned char* data_of(std::span<const std::byte> bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t seed) {
  return ~extend()(~seed, data_of(bytes), bytes.size());
}

std::uint32_t crc32c_combine(std::uint32_t a, std::uint32_t b, std::uint64_t length_b_bytes) {
  return multiply(power_of_bytes(length_b_bytes), a) ^ b;
}

std::vector<std::uint32_t> chunk_checksums(std::span<const std::byte> bytes) {
  std::vector<std::uint32_t> checksums;
  checksums.reserve((bytes.size() + checksum_chunk_bytes - 1) / checksum_chunk_bytes);
  while (!bytes.empty()) {
    const auto chunk = bytes.first(std::min<std::size_t>(bytes.size(), checksum_chunk_bytes));
    checksums.push_back(crc32c(chunk));
    bytes = bytes.subspan(chunk.size());
  }
  return checksums;
}

bool crc32c_is_hardware() { return extend() != extend_portable; }

std::uint32_t detail::crc32c_portable(std::span<const std::byte> bytes, std::uint32_t seed) {
  return ~extend_portable(~seed, data_of(bytes), bytes.size());
}

}  // namespace hearth
