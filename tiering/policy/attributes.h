// What a policy decides about a file: the attributes, their defaults, and the one describe() that the parser, the
// reference, `hearth policy show` and `hearth policy explain` visit.
//
// Threads: plain values; trivially copyable, so that a decision allocates nothing.
#pragma once

#include "common/units.h"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace hearth::policy {

// The order is the order in files, tables and answers.
enum class Attribute : std::uint8_t {
  tier, admission, promote_after, demote_after_idle, unit, pin, ttl, ttl_action, replicas, prefetch, write_mode, qos_class,
};
inline constexpr std::array<std::string_view, 12> attribute_names{
    "tier", "admission", "promote_after", "demote_after_idle", "unit", "pin",
    "ttl", "ttl_action", "replicas", "prefetch", "write_mode", "class"};
inline constexpr std::size_t attribute_count = attribute_names.size();
using AttributeMask = std::uint16_t;
inline constexpr AttributeMask all_attributes = (1U << attribute_count) - 1;
constexpr AttributeMask mask_of(Attribute attribute) {
  return static_cast<AttributeMask>(1U << static_cast<unsigned>(attribute));
}

// Of a file as a whole, whichever of its pages is asked about; the others are decided page by page. A rule about first_bytes or
// last_bytes sets none of these.
inline constexpr AttributeMask decided_per_file =
    mask_of(Attribute::demote_after_idle) | mask_of(Attribute::pin) | mask_of(Attribute::ttl) | mask_of(Attribute::ttl_action) |
    mask_of(Attribute::replicas) | mask_of(Attribute::prefetch) | mask_of(Attribute::write_mode);

enum class TierChoice : std::uint8_t { automatic, memory, nvme };
enum class AdmissionRule : std::uint8_t { always, second_read, never };
enum class Unit : std::uint8_t { page, file };
enum class TtlAction : std::uint8_t { free, expire };
enum class WriteMode : std::uint8_t { through, back, around, scratch };

struct Promotion {
  std::uint32_t reads = 2;  // 0: never
  std::chrono::nanoseconds within = std::chrono::minutes(10);

  template <class V>
  void describe(V& v) {
    v.field("reads", reads, {.help = "Reads of a page (or file, see `unit`) that bring it into memory; 0 never does.", .max = 1000});
    v.field("within", within, {.help = "The window in which these reads happen.", .min = std::chrono::seconds(1), .max = std::chrono::hours(24 * 365)});
  }
};

struct Pin {
  enum class Where : std::uint8_t { none, memory, nvme };
  Where tier = Where::none;
  ByteSize budget{};  // 0: as much as the tier holds

  template <class V>
  void describe(V& v) {
    v.choice("tier", tier, {{"none", Where::none}, {"memory", Where::memory}, {"nvme", Where::nvme}},
             {.help = "Pages in this tier are never evicted, up to the budget."});
    v.field("budget", budget, {.help = "Bytes of each worker that the rule may pin; 0B is as much as the tier holds. What is over is cached like all other data."});
  }
};

// "none", "whole-file", "window 16MiB", "footer 64KiB".
struct Prefetch {
  enum class What : std::uint8_t { none, window, whole_file, footer };
  What what = What::window;
  ByteSize bytes = 16_MiB;  // window: ahead of a sequential reader; footer: the end of the file, at its first read
  bool operator==(const Prefetch&) const = default;
};
Result<Prefetch> parse_prefetch(std::string_view text);
std::string to_text(const Prefetch& prefetch);

// The name of a QoS class, kept in place.
class ClassName {
 public:
  static constexpr std::size_t max_bytes = 31;
  constexpr ClassName() : ClassName("batch") {}
  // At most max_bytes; see parse_class_name.
  constexpr explicit ClassName(std::string_view name) {
    for (const char byte : name) bytes_[length_++] = byte;
  }
  constexpr std::string_view view() const { return {bytes_.data(), length_}; }
  bool operator==(const ClassName& other) const { return view() == other.view(); }

 private:
  std::array<char, max_bytes> bytes_{};
  std::uint8_t length_ = 0;
};
Result<ClassName> parse_class_name(std::string_view text);
std::string to_text(const ClassName& name);

struct Attributes {
  TierChoice tier = TierChoice::automatic;
  AdmissionRule admission = AdmissionRule::always;
  Promotion promote_after;
  std::chrono::nanoseconds demote_after_idle{0};
  Unit unit = Unit::page;
  Pin pin;
  std::chrono::nanoseconds ttl{0};
  TtlAction ttl_action = TtlAction::free;
  std::uint32_t replicas = 1;
  Prefetch prefetch;
  WriteMode write_mode = WriteMode::through;
  ClassName qos_class;

  template <class V>
  void describe(V& v) {
    constexpr std::chrono::nanoseconds longest = std::chrono::hours(24 * 3650);
    v.choice("tier", tier, {{"auto", TierChoice::automatic}, {"memory", TierChoice::memory}, {"nvme", TierChoice::nvme}},
             {.help = "Where the data lives. `auto` fills the memory tier first and moves data down and up; `memory` never goes to NVMe; `nvme` never takes memory."});
    v.choice("admission", admission,
             {{"always", AdmissionRule::always}, {"second-read", AdmissionRule::second_read}, {"never", AdmissionRule::never}},
             {.help = "Whether a page that was fetched is kept: at its first read, at its second, or never (it is passed through)."});
    v.section("promote_after", promote_after, "When data moves from NVMe to memory.");
    v.field("demote_after_idle", demote_after_idle, {.help = "Data in memory that nobody read for this long moves to NVMe; 0s only moves under pressure.", .max = longest});
    v.choice("unit", unit, {{"page", Unit::page}, {"file", Unit::file}},
             {.help = "What is moved and counted: single pages, or all of a file's pages together."});
    v.section("pin", pin, "Data that is never evicted.");
    v.field("ttl", ttl, {.help = "How long after it was fetched data may be served; 0s has no end.", .max = longest});
    v.choice("ttl_action", ttl_action, {{"free", TtlAction::free}, {"expire", TtlAction::expire}},
             {.help = "At the end of `ttl`: `free` gives the space back, `expire` keeps the bytes until they are needed for others and fetches again when they are read."});
    v.field("replicas", replicas, {.help = "Workers that should hold a copy of data that is read often.", .min = 1, .max = 16});
    v.text("prefetch", prefetch,
           {"prefetch", "none, whole-file, window SIZE, footer SIZE", parse_prefetch, to_text},
           {.help = "What is fetched unasked, of pages whose `admission` is `always`: nothing, the whole file at its first read, SIZE ahead of a sequential reader, or the last SIZE of the file at its first read. What nobody asked for takes free room only; a file longer than half of the tier is not fetched whole."});
    v.choice("write_mode", write_mode,
             {{"through", WriteMode::through}, {"back", WriteMode::back}, {"around", WriteMode::around}, {"scratch", WriteMode::scratch}},
             {.help = "Where a write is acknowledged: by the under-store (and cached), by workers' storage, by the under-store (and not cached), or in memory only."});
    v.text("class", qos_class, {"name", "1 to 31 of a-z, 0-9, - and _", parse_class_name, to_text},
           {.help = "QoS class of the reads: `interactive`, `batch`, `background` or one of your own."});
  }
};
static_assert(std::is_trivially_copyable_v<Attributes>);

}  // namespace hearth::policy
