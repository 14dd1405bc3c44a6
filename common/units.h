// Sizes and durations as people write them, strictly: a number always has its unit.
//
// Threads: pure functions.
// Fails:   invalid_argument, with a sentence that says what is accepted.
#pragma once

#include <hearth/result.h>

#include <chrono>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace hearth {

// An amount of bytes in configuration and interfaces for people; code that counts uses `..._bytes`.
struct ByteSize {
  std::uint64_t bytes = 0;
  constexpr auto operator<=>(const ByteSize&) const = default;
};

constexpr ByteSize operator""_B(unsigned long long n) { return ByteSize{n}; }
constexpr ByteSize operator""_KiB(unsigned long long n) { return ByteSize{n << 10}; }
constexpr ByteSize operator""_MiB(unsigned long long n) { return ByteSize{n << 20}; }
constexpr ByteSize operator""_GiB(unsigned long long n) { return ByteSize{n << 30}; }
constexpr ByteSize operator""_TiB(unsigned long long n) { return ByteSize{n << 40}; }

// "64MiB", "1.5GiB", "100B", "10MB" (powers of 1000), "512Mi" (as Kubernetes writes it). A fraction must
// be whole bytes. "64" is refused: it does not say of what.
Result<ByteSize> parse_size(std::string_view text);
// "10s", "1.5ms", "500us", "2h". Whole nanoseconds, up to 292 years, never negative.
Result<std::chrono::nanoseconds> parse_duration(std::string_view text);

// Exact, and read back by the parsers: "64MiB", "1536KiB"; "90s", "1500ms".
std::string exact_size(ByteSize size);
std::string exact_duration(std::chrono::nanoseconds duration);

// Three digits, for people: "1.50 GiB", "12.3 ms", "850 MiB/s", "1.20 k/s".
std::string human_size(std::uint64_t bytes);
std::string human_duration(std::chrono::nanoseconds duration);
std::string human_rate(std::uint64_t bytes, std::chrono::nanoseconds during);
std::string human_count_rate(std::uint64_t count, std::chrono::nanoseconds during);

}  // namespace hearth
