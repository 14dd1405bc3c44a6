#include "understore/store_factory.h"

#include "common/nearest_name.h"
#include "common/rng.h"
#include "understore/access_check.h"
#include "understore/guard/guarded_store.h"
#include "understore/hdfs/hdfs_store.h"
#include "understore/local_store.h"
#include "understore/s3/s3_store.h"
#include "understore/store_path.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

namespace hearth {
namespace {

using OpenStore = Result<std::shared_ptr<UnderStore>> (*)(std::string_view, const StoreOptions&, const StoreContext&);

enum class Reach : std::uint8_t { network, local };

struct Scheme {
  std::string_view name;
  OpenStore open;
  Reach reach = Reach::network;  // what is reached over a network gets a guard: retries, limits, a circuit breaker
};

constexpr std::array schemes{
    Scheme{.name = "file",
           .open = [](std::string_view uri, const StoreOptions& options,
                      const StoreContext& context) -> Result<std::shared_ptr<UnderStore>> {
             CHECK_OK(check_store_option_names(uri, options, {}));
             return open_local_store(uri, context.pool, context.clock);
           },
           .reach = Reach::local},
    Scheme{.name = "hdfs", .open = &open_hdfs_store},
    Scheme{.name = "webhdfs", .open = &open_hdfs_store},
    Scheme{.name = "swebhdfs", .open = &open_hdfs_store},
    Scheme{.name = "s3", .open = &s3::open_s3_store},
};

Result<std::shared_ptr<UnderStore>> open_guarded(const Scheme& scheme, std::string_view uri, StoreOptions options,
                                                 const StoreContext& context) {
  TRY(guard, take_guard_options(options));
  TRY(store, scheme.open(uri, options, context));
  return std::shared_ptr<UnderStore>(guard_store(std::move(store), guard, context.clock, system_rng().next()));
}

}  // namespace

std::vector<std::string> known_store_schemes() {
  std::vector<std::string> names;
  for (const Scheme& scheme : schemes) names.emplace_back(scheme.name);
  return names;
}

Status check_store_option_names(std::string_view uri, const StoreOptions& options,
                                const std::vector<std::string_view>& known) {
  for (const auto& [name, value] : options) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    std::string message = "the under-store " + printable_path(uri) + " does not know the option " + printable_path(name);
    if (known.empty()) return Error(Code::invalid_argument, message + "; it takes none");
    if (const auto near = nearest_name(name, known)) message += "; did you mean " + std::string(*near) + "?";
    message += " It takes";
    for (const std::string_view& one : known) message += (&one == &known.front() ? " " : ", ") + std::string(one);
    return Error(Code::invalid_argument, message);
  }
  return ok();
}

Result<std::shared_ptr<UnderStore>> open_under_store(std::string_view uri, const StoreOptions& options,
                                                     const StoreContext& context) {
  TRY(parsed, parse_store_uri(uri));
  std::string known;
  for (const Scheme& scheme : schemes) {
    if (scheme.name == parsed.scheme && scheme.reach == Reach::local) return scheme.open(uri, options, context);
    if (scheme.name == parsed.scheme) return open_guarded(scheme, uri, options, context);
    known += (known.empty() ? "" : ", ") + std::string(scheme.name) + "://";
  }
  return Error(Code::unsupported, "under-store URI " + printable_path(uri) + " has the unknown scheme " +
                                      printable_path(parsed.scheme) + "; this build knows " + known);
}

Result<std::shared_ptr<UnderStore>> open_bare_store(std::string_view uri, StoreOptions options, const StoreContext& context) {
  TRY(parsed, parse_store_uri(uri));
  for (const Scheme& scheme : schemes) {
    if (scheme.name != parsed.scheme) continue;
    if (scheme.reach == Reach::network) CHECK_OK(take_guard_options(options));
    return scheme.open(uri, options, context);
  }
  return open_under_store(uri, options, context);  // which says what is known
}

}  // namespace hearth
