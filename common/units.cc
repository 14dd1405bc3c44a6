#include "common/units.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <optional>
#include <span>

namespace hearth {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::array size_units{
    Unit{"B", 1},
    Unit{"KiB", 1ULL << 10}, Unit{"MiB", 1ULL << 20}, Unit{"GiB", 1ULL << 30}, Unit{"TiB", 1ULL << 40},
    Unit{"Ki", 1ULL << 10},  Unit{"Mi", 1ULL << 20},  Unit{"Gi", 1ULL << 30},  Unit{"Ti", 1ULL << 40},
    Unit{"kB", 1'000ULL},    Unit{"MB", 1'000'000ULL}, Unit{"GB", 1'000'000'000ULL}, Unit{"TB", 1'000'000'000'000ULL},
};
constexpr std::array duration_units{
    Unit{"ns", 1ULL},
    Unit{"us", 1'000ULL},
    Unit{"ms", 1'000'000ULL},
    Unit{"s", 1'000'000'000ULL},
    Unit{"m", 60ULL * 1'000'000'000ULL},
    Unit{"h", 3600ULL * 1'000'000'000ULL},
    Unit{"d", 86400ULL * 1'000'000'000ULL},
};

struct Kind {
  std::string_view what;       // "size"
  std::string_view suggested;  // unit to suggest for a bare number
  std::string_view example;
  std::string_view names;
  std::span<const Unit> units;
  std::uint64_t max;
};
const Kind size_kind{"size", "MiB", "64MiB or 1.5GiB", "B, KiB, MiB, GiB, TiB, kB, MB, GB, TB, Ki, Mi, Gi, Ti",
                     size_units, std::numeric_limits<std::uint64_t>::max()};
const Kind duration_kind{"duration", "s", "10s or 500ms", "ns, us, ms, s, m, h, d", duration_units,
                         static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())};

Error refuse(const Kind& kind, std::string_view text, const std::string& why) {
  return Error(Code::invalid_argument, "'" + std::string(text) + "' is not a " + std::string(kind.what) + ": " + why);
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// value * 10 + digit, or nothing when it does not fit.
std::optional<unsigned __int128> push_digit(unsigned __int128 value, char digit) {
  constexpr unsigned __int128 limit = static_cast<unsigned __int128>(1) << 96;
  if (value > limit) return std::nullopt;
  return value * 10 + static_cast<unsigned>(digit - '0');
}

// `digits` / 10^`decimals`.
struct Decimal {
  unsigned __int128 digits = 0;
  unsigned __int128 scale = 1;
  std::size_t length = 0;  // characters of the text it took
};

constexpr std::size_t max_decimals = 15;

Result<Decimal> parse_decimal(const Kind& kind, std::string_view text) {
  Decimal number;
  std::size_t decimals = 0;
  bool in_fraction = false;
  std::size_t at = 0;
  for (; at < text.size() && (is_digit(text[at]) || (text[at] == '.' && !in_fraction && at > 0)); ++at) {
    if (text[at] == '.') {
      in_fraction = true;
      continue;
    }
    const auto pushed = push_digit(number.digits, text[at]);
    if (!pushed || decimals >= max_decimals) return refuse(kind, text, "the number has too many digits");
    number.digits = *pushed;
    if (in_fraction) {
      number.scale *= 10;
      ++decimals;
    }
  }
  if (at == 0) return refuse(kind, text, "write a number and a unit, such as " + std::string(kind.example));
  if (text[at - 1] == '.') return refuse(kind, text, "digits must follow the point");
  number.length = at;
  return number;
}

Result<std::uint64_t> parse_quantity(const Kind& kind, std::string_view text) {
  TRY(number, parse_decimal(kind, text));
  const std::string_view unit_name = text.substr(number.length);
  if (unit_name.empty()) {
    return refuse(kind, text, "it needs a unit; did you mean '" + std::string(text) + std::string(kind.suggested) +
                                  "'? (units: " + std::string(kind.names) + ")");
  }
  for (const Unit& unit : kind.units) {
    if (unit.name != unit_name) continue;
    if (number.digits > static_cast<unsigned __int128>(kind.max)) return refuse(kind, text, "it is too large");
    const unsigned __int128 product = number.digits * unit.factor;
    if (product % number.scale != 0) {
      return refuse(kind, text, "it is not a whole number of " +
                                    std::string(kind.units.front().name == "B" ? "bytes" : "nanoseconds"));
    }
    const unsigned __int128 value = product / number.scale;
    if (value > kind.max) return refuse(kind, text, "it is too large");
    return static_cast<std::uint64_t>(value);
  }
  return refuse(kind, text, "the unit '" + std::string(unit_name) + "' is unknown; use one of " +
                                std::string(kind.names) + ", without a space before it");
}

std::string three_digits(double value) {
  char buffer[32];
  const int decimals = value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  std::snprintf(buffer, sizeof buffer, "%.*f", decimals, value);
  return buffer;
}

std::string with_prefix(double value, double step, std::span<const std::string_view> names) {
  std::size_t i = 0;
  while (i + 1 < names.size() && value >= step * 0.9995) {
    value /= step;
    ++i;
  }
  if (i == 0 && value == std::floor(value)) return std::to_string(static_cast<std::uint64_t>(value)) + std::string(names[0]);
  return three_digits(value) + std::string(names[i]);
}

constexpr std::array<std::string_view, 6> size_names{" B", " KiB", " MiB", " GiB", " TiB", " PiB"};
constexpr std::array<std::string_view, 6> size_rate_names{" B/s", " KiB/s", " MiB/s", " GiB/s", " TiB/s", " PiB/s"};
constexpr std::array<std::string_view, 4> count_rate_names{" /s", " k/s", " M/s", " G/s"};

double per_second(std::uint64_t amount, std::chrono::nanoseconds during) {
  return during.count() <= 0 ? 0.0 : static_cast<double>(amount) * 1e9 / static_cast<double>(during.count());
}

}  // namespace

Result<ByteSize> parse_size(std::string_view text) {
  TRY(bytes, parse_quantity(size_kind, text));
  return ByteSize{bytes};
}

Result<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  TRY(ns, parse_quantity(duration_kind, text));
  return std::chrono::nanoseconds(static_cast<std::int64_t>(ns));
}

std::string exact_size(ByteSize size) {
  for (std::size_t i = 4; i > 0; --i) {  // TiB down to KiB
    const Unit& unit = size_units[i];
    if (size.bytes != 0 && size.bytes % unit.factor == 0) return std::to_string(size.bytes / unit.factor) + std::string(unit.name);
  }
  return std::to_string(size.bytes) + "B";
}

std::string exact_duration(std::chrono::nanoseconds duration) {
  const auto ns = static_cast<std::uint64_t>(duration.count() < 0 ? 0 : duration.count());
  if (ns == 0) return "0s";
  for (std::size_t i = duration_units.size(); i > 0; --i) {
    const Unit& unit = duration_units[i - 1];
    if (ns % unit.factor == 0) return std::to_string(ns / unit.factor) + std::string(unit.name);
  }
  return std::to_string(ns) + "ns";
}

std::string human_size(std::uint64_t bytes) { return with_prefix(static_cast<double>(bytes), 1024, size_names); }

std::string human_duration(std::chrono::nanoseconds duration) {
  const double ns = static_cast<double>(duration.count());
  if (ns < 0) return "-" + human_duration(-duration);
  if (ns < 1000) return std::to_string(duration.count()) + " ns";
  if (ns < 999.5e3) return three_digits(ns / 1e3) + " us";
  if (ns < 999.5e6) return three_digits(ns / 1e6) + " ms";
  if (ns < 120e9) return three_digits(ns / 1e9) + " s";
  if (ns < 7200e9) return three_digits(ns / 60e9) + " m";
  if (ns < 172800e9) return three_digits(ns / 3600e9) + " h";
  return three_digits(ns / 86400e9) + " d";
}

std::string human_rate(std::uint64_t bytes, std::chrono::nanoseconds during) {
  return with_prefix(std::floor(per_second(bytes, during)), 1024, size_rate_names);
}

std::string human_count_rate(std::uint64_t count, std::chrono::nanoseconds during) {
  return with_prefix(per_second(count, during), 1000, count_rate_names);
}

}  // namespace hearth
