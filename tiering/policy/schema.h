// The tables of a policy file besides the attributes: what a rule matches, quotas, tiers.
//
// Threads: plain values.
#pragma once

#include "common/units.h"
#include "tiering/policy/attributes.h"

#include <string>
#include <string_view>
#include <vector>

namespace hearth::policy {

enum class Pattern : std::uint8_t { any, sequential, random, whole_file };
enum class Eviction : std::uint8_t { lru, s3_fifo, w_tinylfu };

// "12.5%", kept as hundredths of a percent.
struct Percent {
  std::uint32_t hundredths = 0;
  constexpr auto operator<=>(const Percent&) const = default;
  constexpr std::uint64_t of(std::uint64_t amount) const {
    return static_cast<std::uint64_t>(static_cast<unsigned __int128>(amount) * hundredths / 10'000);
  }
};
Result<Percent> parse_percent(std::string_view text);
std::string to_text(const Percent& percent);

// A part of a tier: "20%" of its capacity, or "10GiB".
struct Share {
  enum class Kind : std::uint8_t { percent, bytes } kind = Kind::bytes;
  Percent percent{};
  ByteSize bytes{};
  std::uint64_t of(std::uint64_t capacity_bytes) const {
    return kind == Kind::percent ? percent.of(capacity_bytes) : bytes.bytes;
  }
  bool operator==(const Share&) const = default;
};
Result<Share> parse_share(std::string_view text);
std::string to_text(const Share& share);
inline constexpr Share nothing{};
inline constexpr Share everything{.kind = Share::Kind::percent, .percent = {10'000}};

// A rule without any of these matches every file.
struct Match {
  std::vector<std::string> path;
  std::vector<std::string> not_path;
  std::vector<std::string> suffix;
  ByteSize min_size{};
  ByteSize max_size{};  // only when the file gives one
  std::vector<std::string> owner;
  std::vector<std::string> tenant;
  Pattern pattern = Pattern::any;
  ByteSize first_bytes{};
  ByteSize last_bytes{};

  template <class V>
  void describe(V& v) {
    v.field("path", path, {.help = "Patterns, of which one must match the path in the namespace. A single one may stand without brackets, here and in the other lists."});
    v.field("not_path", not_path, {.help = "Patterns, of which none may match."});
    v.field("suffix", suffix, {.help = "Endings of the name, such as `.parquet`; one must match."});
    v.field("min_size", min_size, {.help = "The file has at least this length."});
    v.field("max_size", max_size, {.help = "The file has at most this length."});
    v.field("owner", owner, {.help = "Owners of the file: user ids as text, or names of the master's host, looked up when a worker fetches the policy."});
    v.field("tenant", tenant, {.help = "Tenants of the reader, as its client declares itself: `--tenant`, `HEARTH_TENANT`, `mount.tenant`, `ClientOptions::tenant`."});
    v.choice("pattern", pattern,
             {{"any", Pattern::any}, {"sequential", Pattern::sequential}, {"random", Pattern::random}, {"whole-file", Pattern::whole_file}},
             {.help = "How its reader goes through the file (one of its blocks, where it has several): `sequential` two reads or more in a row, `whole-file` from its first byte on for half of it or more, `random` otherwise. At the first read this is not known, and only `any` matches."});
    v.field("first_bytes", first_bytes, {.help = "Only pages that touch the first so many bytes of the file. Such a rule sets only what is decided page by page: tier, admission, promote_after, unit, class."});
    v.field("last_bytes", last_bytes, {.help = "Only pages that touch the last so many bytes, such as the footer of a Parquet file. Such a rule sets only what is decided page by page, as with `first_bytes`."});
  }
};

struct Quota {
  std::string name;
  std::vector<std::string> path;
  std::vector<std::string> tenant;
  Share memory_min = nothing;
  Share memory_max = everything;
  Share nvme_min = nothing;
  Share nvme_max = everything;

  template <class V>
  void describe(V& v) {
    v.field("name", name, {.help = "What reports call it; unique."});
    v.field("path", path, {.help = "Patterns; what matches one is charged to this quota."});
    v.field("tenant", tenant, {.help = "Tenants; with `path` as well, both must match."});
    const auto share = [&](std::string_view key, Share& value, std::string_view help) {
      v.text(key, value, {"share", "a percentage of the tier, or a size", parse_share, to_text}, {.help = help});
    };
    share("memory_min", memory_min, "Memory of each worker that others can not take: below it, this quota's data is evicted last.");
    share("memory_max", memory_max, "Memory of each worker that it may take; more evicts its own data first.");
    share("nvme_min", nvme_min, "The same for NVMe.");
    share("nvme_max", nvme_max, "The same for NVMe.");
  }
};

struct TierSettings {
  Eviction eviction = Eviction::s3_fifo;
  Percent high_watermark{9'500};
  Percent low_watermark{9'000};
  Percent movement_share{2'500};

  template <class V>
  void describe(V& v) {
    v.choice("eviction", eviction, {{"lru", Eviction::lru}, {"s3-fifo", Eviction::s3_fifo}, {"w-tinylfu", Eviction::w_tinylfu}},
             {.help = "Which data goes first. `lru`: the least recently read. `s3-fifo` and `w-tinylfu` also withstand scans."});
    const auto percent = [&](std::string_view key, Percent& value, std::string_view help) {
      v.text(key, value, {"percentage", "0% to 100%", parse_percent, to_text}, {.help = help});
    };
    percent("high_watermark", high_watermark, "Above this part of the capacity, eviction begins in the background ...");
    percent("low_watermark", low_watermark, "... and goes on down to this part.");
    percent("movement_share", movement_share, "Part of the tier's bandwidth that promotion and demotion may use.");
  }
};

}  // namespace hearth::policy
