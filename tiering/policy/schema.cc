#include "tiering/policy/schema.h"

namespace hearth::policy {
namespace {

constexpr std::uint32_t whole = 10'000;  // hundredths of a percent

}  // namespace

Result<Percent> parse_percent(std::string_view text) {
  const Error wanted(Code::invalid_argument, "wants a percentage from 0% to 100%, such as 85% or 12.5%, not '" + std::string(text) + "'");
  if (!text.ends_with('%')) return wanted;
  std::uint32_t value = 0;
  std::size_t digits = 0;
  std::size_t decimals = 0;
  bool in_fraction = false;
  for (const char c : text.substr(0, text.size() - 1)) {
    if (c == '.' && !in_fraction && digits > 0) {
      in_fraction = true;
      continue;
    }
    if (c < '0' || c > '9' || ++digits > 5 || (in_fraction && ++decimals > 2)) return wanted;
    value = value * 10 + static_cast<std::uint32_t>(c - '0');
  }
  if (digits == 0 || (in_fraction && decimals == 0)) return wanted;
  for (std::size_t i = decimals; i < 2; ++i) value *= 10;
  if (value > whole) return wanted;
  return Percent{value};
}

std::string to_text(const Percent& percent) {
  std::string text = std::to_string(percent.hundredths / 100);
  if (const std::uint32_t rest = percent.hundredths % 100; rest != 0) {
    text += "." + std::to_string(rest / 10) + (rest % 10 == 0 ? "" : std::to_string(rest % 10));
  }
  return text + "%";
}

Result<Share> parse_share(std::string_view text) {
  if (text.ends_with('%')) {
    TRY(percent, parse_percent(text));
    return Share{.kind = Share::Kind::percent, .percent = percent};
  }
  TRY(bytes, parse_size(text));
  return Share{.kind = Share::Kind::bytes, .bytes = bytes};
}

std::string to_text(const Share& share) {
  return share.kind == Share::Kind::percent ? to_text(share.percent) : exact_size(share.bytes);
}

}  // namespace hearth::policy
