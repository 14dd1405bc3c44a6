#include "tiering/eviction_policy.h"

#include <string>

namespace hearth {

Result<std::unique_ptr<EvictionPolicy>> make_policy(std::string_view name, const EvictionOptions& options) {
  if (name == "lru") return make_lru_policy(options);
  if (name == "s3-fifo") return make_s3_fifo_policy(options);
  if (name == "w-tinylfu") return make_w_tinylfu_policy(options);
  std::string accepted;
  for (const std::string_view each : eviction_policy_names) accepted += (accepted.empty() ? "" : ", ") + std::string(each);
  return Error(Code::invalid_argument, "eviction \"" + std::string(name) + "\" is not known; use one of " + accepted);
}

}  // namespace hearth
