#include "understore/guard/guard_options.h"

#include "common/nearest_name.h"
#include "common/units.h"
#include "understore/store_path.h"

#include <array>
#include <charconv>

namespace hearth {
namespace {

constexpr std::string_view prefix = "guard.";

Result<std::uint64_t> whole_number(std::string_view text, std::uint64_t least, std::uint64_t most) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) {
    return Error(Code::invalid_argument, "is not a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return value;
}

struct Known {
  std::string_view name;
  Status (*set)(GuardOptions& options, std::string_view value);
};

constexpr std::array known_options{
    // Calls at once that a store which keeps up may be given.
    Known{"guard.max_concurrency",
          [](GuardOptions& options, std::string_view value) -> Status {
            TRY(number, whole_number(value, 1, 4096));
            options.limit.ceiling = number;
            options.limit.floor = std::min<std::size_t>(options.limit.floor, number);
            options.limit.initial = std::min<std::size_t>(options.limit.initial, number);
            return ok();
          }},
    Known{"guard.max_attempts",
          [](GuardOptions& options, std::string_view value) -> Status {
            TRY(number, whole_number(value, 1, 100));
            options.retries.max_attempts = static_cast<std::uint32_t>(number);
            return ok();
          }},
    Known{"guard.retry_percent",
          [](GuardOptions& options, std::string_view value) -> Status {
            TRY(number, whole_number(value, 0, 100));
            options.retry_budget.share = static_cast<double>(number) / 100;
            if (number == 0) options.retry_budget.initial = 0;
            return ok();
          }},
    Known{"guard.hedge_percent",
          [](GuardOptions& options, std::string_view value) -> Status {
            TRY(number, whole_number(value, 0, 100));
            options.hedge.share = static_cast<double>(number) / 100;
            return ok();
          }},
    Known{"guard.hedge_after_percentile",
          [](GuardOptions& options, std::string_view value) -> Status {
            TRY(number, whole_number(value, 50, 99));
            options.hedge.quantile = static_cast<double>(number) / 100;
            return ok();
          }},
    Known{"guard.max_waiting",
          [](GuardOptions& options, std::string_view value) -> Status {
            TRY(number, whole_number(value, 1, 1'000'000));
            options.max_waiting = number;
            return ok();
          }},
    Known{"guard.fetch_bytes",
          [](GuardOptions& options, std::string_view value) -> Status {
            TRY(size, parse_size(value));
            if (size > 64_MiB) return Error(Code::invalid_argument, "is more than 64MiB");
            options.fetch_bytes = size.bytes;
            return ok();
          }},
};

Status set_one(GuardOptions& options, const std::string& name, const std::string& value) {
  std::array<std::string_view, known_options.size()> names;
  for (std::size_t i = 0; i < names.size(); ++i) {
    names[i] = known_options[i].name;
    if (names[i] != name) continue;
    Status set = known_options[i].set(options, value);
    if (set) return ok();
    return Error(Code::invalid_argument, "the store option " + name + " = " + printable_path(value) + ": " +
                                             set.error().message());
  }
  std::string message = "there is no store option " + printable_path(name);
  if (const auto near = nearest_name(name, names)) message += "; did you mean " + std::string(*near) + "?";
  message += " There are";
  for (const std::string_view& one : names) message += (&one == &names.front() ? " " : ", ") + std::string(one);
  return Error(Code::invalid_argument, message);
}

}  // namespace

Result<GuardOptions> take_guard_options(std::map<std::string, std::string>& options) {
  GuardOptions guard;
  for (auto option = options.lower_bound(std::string(prefix)); option != options.end() && option->first.starts_with(prefix);) {
    CHECK_OK(set_one(guard, option->first, option->second));
    option = options.erase(option);
  }
  return guard;
}

}  // namespace hearth
