#include <hearth/access_check.h>

#include "common/blocking.h"
#include "common/http/http.h"
#include "common/io_thread.h"
#include "understore/access_check.h"

namespace hearth {

std::vector<AccessStepReport> check_access(std::string_view uri, const AttachmentOptions& options, std::chrono::milliseconds timeout) {
  const auto http = make_http_client({}, real_clock());
  BlockingPool pool(1, 16);
  IoThread thread("hearth-check");
  thread.start();
  const StoreContext context{.pool = pool, .clock = real_clock(), .http = http.get()};
  const StoreOptions store_options(options.store_options.begin(), options.store_options.end());
  const Deadline deadline = Deadline::after(real_clock(), timeout);
  const auto steps = thread.run_sync(check_store_access(std::string(uri), store_options, context, deadline));
  std::vector<AccessStepReport> reports;
  if (!steps) reports.push_back({.name = "check", .code = steps.code(), .message = steps.error().message()});
  for (const AccessStep& step : steps ? *steps : std::vector<AccessStep>()) {
    reports.push_back({.name = step.name,
                       .code = step.outcome.code(),
                       .message = step.outcome ? step.detail : step.outcome.error().message(),
                       .took_us = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(step.took).count())});
  }
  return reports;
}

}  // namespace hearth
