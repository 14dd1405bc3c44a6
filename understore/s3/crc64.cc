// CRC-64/NVME: by carry-less multiplication where the processor has it (about 20 GB/s), else through tables.
#include "understore/s3/digest.h"

#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace hearth::s3 {
namespace {

constexpr std::uint64_t polynomial = 0x9A6C9329AC4BC9B5ULL;  // reflected: bit 63 is x^0

// Modulo the polynomial.
std::uint64_t product(std::uint64_t a, std::uint64_t b) {
  std::uint64_t sum = 0;
  for (std::uint64_t mask = 1ULL << 63; mask != 0; mask >>= 1) {
    if ((a & mask) != 0) sum ^= b;
    b = (b >> 1) ^ ((b & 1) != 0 ? polynomial : 0);
  }
  return sum;
}

// Sixteen tables (slicing by 8 would need 16 KiB; by 16 pays off at page sizes): one byte of input each.
struct Crc64Tables {
  std::uint64_t at[16][256];
  Crc64Tables() {
    for (unsigned i = 0; i < 256; ++i) {
      std::uint64_t crc = i;
      for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? polynomial : 0);
      at[0][i] = crc;
    }
    for (unsigned i = 0; i < 256; ++i) {
      for (int k = 1; k < 16; ++k) at[k][i] = (at[k - 1][i] >> 8) ^ at[0][at[k - 1][i] & 0xFF];
    }
  }
};

// `crc` is the inverted register here and below.
std::uint64_t extend_portable(std::uint64_t crc, const std::uint8_t* at, std::size_t left) {
  static const Crc64Tables tables;
  for (; left >= 16; left -= 16, at += 16) {
    std::uint64_t low = 0;
    std::memcpy(&low, at, 8);
    low ^= crc;
    crc = 0;
    for (int k = 0; k < 8; ++k) {
      crc ^= tables.at[15 - k][(low >> (8 * k)) & 0xFF] ^ tables.at[7 - k][at[8 + k]];
    }
  }
  for (; left > 0; --left, ++at) crc = tables.at[0][(crc ^ *at) & 0xFF] ^ (crc >> 8);
  return crc;
}

#if defined(__x86_64__)
// Folding (Gopal and others, Intel 2009): 16 bytes times x^n, modulo the polynomial, are two multiplications with
// constants, added to the 16 bytes that lie n bits further. Reflected, so the constants are x^(n+63) and x^(n-1) with
// their bits turned round.
constexpr long long x191 = static_cast<long long>(0xEADC41FD2BA3D420ULL);  // n = 128: the next 16 bytes
constexpr long long x127 = static_cast<long long>(0x21E9761E252621ACULL);
constexpr long long x575 = static_cast<long long>(0x0C32CDB31E18A84AULL);  // n = 512: four lanes side by side
constexpr long long x511 = static_cast<long long>(0x62242240ACE5045AULL);
constexpr std::size_t lanes_bytes = 64;

__attribute__((target("pclmul,sse4.1"))) inline __m128i fold(__m128i value, __m128i by, __m128i onto) {
  const __m128i low = _mm_clmulepi64_si128(value, by, 0x00);
  const __m128i high = _mm_clmulepi64_si128(value, by, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), onto);
}

__attribute__((target("pclmul,sse4.1"))) inline __m128i load(const std::uint8_t* at) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
}

__attribute__((target("pclmul,sse4.1"))) std::uint64_t extend_pclmul(std::uint64_t crc, const std::uint8_t* at,
                                                                     std::size_t left) {
  if (left < 2 * lanes_bytes) return extend_portable(crc, at, left);
  const __m128i far = _mm_set_epi64x(x511, x575);
  const __m128i near = _mm_set_epi64x(x127, x191);
  __m128i a = _mm_xor_si128(load(at), _mm_set_epi64x(0, static_cast<long long>(crc)));
  __m128i b = load(at + 16);
  __m128i c = load(at + 32);
  __m128i d = load(at + 48);
  for (at += lanes_bytes, left -= lanes_bytes; left >= lanes_bytes; at += lanes_bytes, left -= lanes_bytes) {
    a = fold(a, far, load(at));
    b = fold(b, far, load(at + 16));
    c = fold(c, far, load(at + 32));
    d = fold(d, far, load(at + 48));
  }
  const __m128i joined = fold(fold(fold(a, near, b), near, c), near, d);
  std::uint8_t last[16];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(last), joined);
  return extend_portable(extend_portable(0, last, sizeof last), at, left);
}
#endif

using Extend = std::uint64_t (*)(std::uint64_t, const std::uint8_t*, std::size_t);

Extend choose() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1")) return extend_pclmul;
#endif
  return extend_portable;
}

const std::uint8_t* data_of(Bytes bytes) { return reinterpret_cast<const std::uint8_t*>(bytes.data()); }

}  // namespace

std::uint64_t crc64nvme(Bytes bytes, std::uint64_t seed) {
  static const Extend extend = choose();
  return ~extend(~seed, data_of(bytes), bytes.size());
}

// The first, moved on by the bits of the second: times x^(8 length). What both invert cancels out (zlib, crc32_combine).
std::uint64_t crc64nvme_of_both(std::uint64_t first, std::uint64_t second, std::uint64_t second_length_bytes) {
  std::uint64_t factor = 1ULL << 63;  // x^0
  std::uint64_t power = 1ULL << 55;   // x^8, then squared for each bit of the length
  for (std::uint64_t left = second_length_bytes; left != 0; left >>= 1) {
    if ((left & 1) != 0) factor = product(factor, power);
    power = product(power, power);
  }
  return product(factor, first) ^ second;
}

std::uint64_t detail::crc64nvme_portable(Bytes bytes, std::uint64_t seed) {
  return ~extend_portable(~seed, data_of(bytes), bytes.size());
}

}  // namespace hearth::s3
