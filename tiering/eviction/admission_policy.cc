#include "tiering/eviction/admission_policy.h"

#include "tiering/eviction/ghost_table.h"

#include <algorithm>
#include <string>

namespace hearth {
namespace {

class Fixed final : public AdmissionPolicy {
 public:
  explicit Fixed(Admission answer) : answer_(answer) {}
  Admission decide(std::uint64_t, std::chrono::nanoseconds) override { return answer_; }
  std::size_t memory_bytes() const override { return 0; }

 private:
  const Admission answer_;
};

class SecondRead final : public AdmissionPolicy {
 public:
  explicit SecondRead(const AdmissionOptions& options)
      : tick_(std::max(options.window / ticks_per_window, std::chrono::nanoseconds(1))),
        window_ticks_(static_cast<std::uint32_t>(options.window / tick_)),
        refused_(options.remembered) {}

  Admission decide(std::uint64_t fingerprint, std::chrono::nanoseconds now) override {
    const auto clock = static_cast<std::uint32_t>(now / tick_);
    const std::optional<std::uint32_t> refused = refused_.take(fingerprint);
    if (refused && clock - *refused <= window_ticks_) return Admission::keep;
    refused_.put(fingerprint, clock);
    return Admission::bypass;
  }
  std::size_t memory_bytes() const override { return refused_.memory_bytes(); }

 private:
  // One part in 65,536 of the window is exact enough, and the 32-bit clock wraps after 65,536 windows.
  static constexpr int ticks_per_window = 1 << 16;

  const std::chrono::nanoseconds tick_;
  const std::uint32_t window_ticks_;
  eviction::GhostTable refused_;
};

}  // namespace

Result<std::unique_ptr<AdmissionPolicy>> make_admission(std::string_view name, const AdmissionOptions& options) {
  std::unique_ptr<AdmissionPolicy> policy;
  if (name == "always") {
    policy = std::make_unique<Fixed>(Admission::keep);
  } else if (name == "never") {
    policy = std::make_unique<Fixed>(Admission::bypass);
  } else if (name == "second-read") {
    if (options.window <= std::chrono::nanoseconds::zero() || options.remembered == 0) {
      return Error(Code::invalid_argument, "admission second-read: window and remembered must be more than 0");
    }
    policy = std::make_unique<SecondRead>(options);
  } else {
    return Error(Code::invalid_argument,
                 "admission \"" + std::string(name) + "\" is not known; use one of always, second-read, never");
  }
  return policy;
}

}  // namespace hearth
