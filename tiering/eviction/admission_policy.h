// Whether what was fetched is kept. Asked once per miss, before room is made.
//
// Threads: confined to the thread of its tier.
// Owns:    what it remembers of earlier misses; bounded by its options.
#pragma once

#include <hearth/result.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace hearth {

enum class Admission : std::uint8_t {
  keep,
  bypass,  // serve it, keep nothing
};

class AdmissionPolicy {
 public:
  virtual ~AdmissionPolicy() = default;

  // `now` is any clock that does not run backwards, the same at each call.
  virtual Admission decide(std::uint64_t fingerprint, std::chrono::nanoseconds now) = 0;

  virtual std::size_t memory_bytes() const = 0;
};

struct AdmissionOptions {
  // second-read: how many refused fingerprints are remembered (the most recent ones; 12 bytes each), and for how long.
  std::size_t remembered = 1U << 20;
  std::chrono::nanoseconds window = std::chrono::hours(1);
};

inline constexpr std::array<std::string_view, 3> admission_policy_names{"always", "second-read", "never"};

// "always" keeps all; "never" nothing; "second-read" what was refused once within the window: data that is read
// once (a scan) costs no eviction. A fingerprint that never came before is kept by mistake less than 8 times in 2^32.
// Fails: invalid_argument for another name, or for a window or a number of zero.
Result<std::unique_ptr<AdmissionPolicy>> make_admission(std::string_view name, const AdmissionOptions& options = {});

}  // namespace hearth
