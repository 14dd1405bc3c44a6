#include "understore/store_factory.h"

#include "understore/local_store.h"
#include "understore/store_path.h"

#include <array>

namespace hearth {
namespace {

using OpenStore = Result<std::shared_ptr<UnderStore>> (*)(std::string_view, const StoreContext&);

struct Scheme {
  std::string_view name;
  OpenStore open;
};

constexpr std::array schemes{
    Scheme{.name = "file",
           .open = [](std::string_view uri, const StoreContext& context) {
             return open_local_store(uri, context.pool, context.clock);
           }},
};

}  // namespace

std::vector<std::string> known_store_schemes() {
  std::vector<std::string> names;
  for (const Scheme& scheme : schemes) names.emplace_back(scheme.name);
  return names;
}

Result<std::shared_ptr<UnderStore>> open_under_store(std::string_view uri, const StoreContext& context) {
  TRY(parsed, parse_store_uri(uri));
  std::string known;
  for (const Scheme& scheme : schemes) {
    if (scheme.name == parsed.scheme) return scheme.open(uri, context);
    known += (known.empty() ? "" : ", ") + std::string(scheme.name) + "://";
  }
  return Error(Code::unsupported, "under-store URI " + printable_path(uri) + " has the unknown scheme " +
                                      printable_path(parsed.scheme) + "; this build knows " + known);
}

}  // namespace hearth
