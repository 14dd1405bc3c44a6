// Which unit of a tier goes next. Policies differ in nothing but this; tiering/eviction/README.md compares them.
//
// Threads: confined to the thread of its tier.
// Owns:    the order, not the bytes. Keys are dense 32-bit slots, so a policy is arrays, not maps.
//          A slot is reused after removed(); the fingerprint tells who is in it, and lets a policy
//          remember what it evicted (ghost entries).
#pragma once

#include <hearth/result.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

namespace hearth {

using EvictionSlot = std::uint32_t;

enum class Removal : std::uint8_t {
  evicted,  // to make room: worth remembering
  dropped,  // freed, corrupt, or pinned by a lease: says nothing about its worth
};

// Pinned data is never a victim.
enum class Pinned : std::uint8_t { no, yes };

// The longest that one victim() call looks for a slot that may go.
inline constexpr std::uint32_t max_looks_per_victim = 4096;

class EvictionPolicy {
 public:
  using Evictable = std::function<bool(EvictionSlot)>;
  virtual ~EvictionPolicy() = default;

  // `charge_bytes` is what removing the slot gives back. Policies with queues of their own share the
  // tier among them by these bytes, relative to all that is inserted: they need no capacity.
  virtual void inserted(EvictionSlot slot, std::uint64_t fingerprint, std::uint64_t charge_bytes) = 0;
  virtual void touched(EvictionSlot slot) = 0;
  virtual void removed(EvictionSlot slot, Removal why) = 0;

  // The slot to give up next among those that `evictable` allows; it stays until removed().
  //
  // A slot that is not allowed is in use: it goes to the young end of its queue, so that the next call does
  // not meet it again, and a call costs O(1) amortised. One call looks at no more than max_looks_per_victim
  // slots of each queue; nothing found there means "not now", and the next call goes on behind them. What is
  // excluded for long (pin, lease) is better taken out with removed() and inserted again later.
  virtual std::optional<EvictionSlot> victim(const Evictable& evictable) = 0;

  virtual std::size_t memory_bytes() const = 0;
};

struct EvictionOptions {
  // Memory is laid out for this many slots; more are taken as they come, at the price of a copy now and then.
  std::size_t expected_slots = 0;
};

inline constexpr std::array<std::string_view, 3> eviction_policy_names{"lru", "s3-fifo", "w-tinylfu"};

// Fails: invalid_argument for a name that is none of the above.
Result<std::unique_ptr<EvictionPolicy>> make_policy(std::string_view name, const EvictionOptions& options = {});

// Least recently used first.
std::unique_ptr<EvictionPolicy> make_lru_policy(const EvictionOptions& options = {});
// Yang, Zhang, Qiu, Yue, Rashmi: FIFO queues are all you need for cache eviction (SOSP'23).
std::unique_ptr<EvictionPolicy> make_s3_fifo_policy(const EvictionOptions& options = {});
// Einziger, Friedman, Manes: TinyLFU: a highly efficient cache admission policy (ACM ToS 13(4), 2017).
std::unique_ptr<EvictionPolicy> make_w_tinylfu_policy(const EvictionOptions& options = {});

}  // namespace hearth
