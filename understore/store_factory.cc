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
#include <sstream>
#include <utility>

namespace hearth {
namespace {

using OpenStore = Result<std::shared_ptr<UnderStore>> (*)(std::string_view, const StoreOptions&, const StoreContext&);

enum class Reach : std::uint8_t { network, local };

std::string value_of(const StoreOptions& options, const char* name) {
  const auto found = options.find(name);
  return found == options.end() ? std::string() : found->second;
}

// Buckets of one name at two endpoints are two. AWS's own are unique within a partition, which the region names.
std::string place_of_s3(const StoreOptions& options) {
  std::string endpoint = value_of(options, "endpoint");
  while (endpoint.ends_with('/')) endpoint.pop_back();
  if (!endpoint.empty()) return endpoint;
  const std::string region = value_of(options, "region");
  if (region.starts_with("cn-")) return "aws-cn";
  return region.starts_with("us-gov-") ? "aws-us-gov" : "";
}

// File ids begin at the same number in every cluster. Namenodes of one cluster are one place in any order.
std::string place_of_hdfs(const StoreOptions& options) {
  std::vector<std::string> addresses;
  std::istringstream list(value_of(options, "http_address"));
  for (std::string each; std::getline(list, each, ',');) addresses.push_back(each);
  std::sort(addresses.begin(), addresses.end());
  std::string place = value_of(options, "http_port");
  for (const std::string& each : addresses) place += "," + each;
  return place;
}

struct Scheme {
  std::string_view name;
  OpenStore open;
  Reach reach = Reach::network;  // what is reached over a network gets a guard: retries, limits, a circuit breaker
  // What options say about the place that the URI leaves open; "" when they say nothing.
  std::string (*place)(const StoreOptions&) = [](const StoreOptions&) { return std::string(); };
};

constexpr std::array schemes{
    Scheme{.name = "file",
           .open = [](std::string_view uri, const StoreOptions& options,
                      const StoreContext& context) -> Result<std::shared_ptr<UnderStore>> {
             CHECK_OK(check_store_option_names(uri, options, {}));
             return open_local_store(uri, context.pool, context.clock);
           },
           .reach = Reach::local},
    Scheme{.name = "hdfs", .open = &open_hdfs_store, .place = &place_of_hdfs},
    Scheme{.name = "webhdfs", .open = &open_hdfs_store, .place = &place_of_hdfs},
    Scheme{.name = "swebhdfs", .open = &open_hdfs_store, .place = &place_of_hdfs},
    Scheme{.name = "s3", .open = &s3::open_s3_store, .place = &place_of_s3},
};

Result<std::shared_ptr<UnderStore>> open_guarded(const Scheme& scheme, std::string_view uri, StoreOptions options,
                                                 const StoreContext& context) {
  TRY(guard, take_guard_options(options));
  TRY(store, scheme.open(uri, options, context));
  return std::shared_ptr<UnderStore>(guard_store(std::move(store), guard, context.clock, system_rng().next()));
}

}  // namespace

std::string store_identity(std::string_view uri, const StoreOptions& options) {
  const std::string_view scheme = uri.substr(0, uri.find("://"));
  const auto known = std::find_if(schemes.begin(), schemes.end(), [&](const Scheme& each) { return each.name == scheme; });
  const std::string place = known == schemes.end() ? std::string() : known->place(options);
  // In front: no place begins like a URI of ours, so no URI, whatever its bytes, reads like another with its place.
  return place.empty() ? std::string(uri) : place + "\n" + std::string(uri);
}

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
