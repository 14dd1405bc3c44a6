// Bodies that end early, at every place where they can, as the store sees them and as its guard hands them on.
#include "understore/guard/guarded_store.h"
#include "understore/s3/s3_world.h"

#include <gtest/gtest.h>

namespace hearth::s3 {
namespace {

using Kind = DoubleFault::Kind;

constexpr std::uint64_t piece = 16ULL << 10;  // what the server writes at once
constexpr std::uint64_t range = 128ULL << 10;
constexpr std::uint64_t ranges = 3;

class S3Cuts : public ::testing::TestWithParam<Kind> {
 protected:
  S3Cuts() : store_(DoubleOptions(), {{"parallel", "1"}}) {
    store_.part_bytes = range;
    store_.reopen();
    for (std::uint64_t i = 0; i < range * ranges; ++i) content_.push_back(static_cast<char>((i * 131) ^ (i >> 7)));
    store_.server().put("f", content_);
    version_ = store_.stat("f")->version;
    store_.server().forgive();
  }
  Result<std::string> read(UnderStore& from) {
    std::string bytes(content_.size(), '?');
    CHECK_OK(run_task(from.read("f", version_, 0, std::as_writable_bytes(std::span(bytes)), DoubleStore::soon())));
    return bytes;
  }

  DoubleStore store_;
  std::string content_;
  std::string version_;
};

std::vector<std::uint64_t> places() {
  std::vector<std::uint64_t> places{0, 1, range / 2, range - 1};
  for (std::uint64_t at = piece; at < range; at += piece) {
    for (const std::uint64_t near : {at - 1, at, at + 1}) places.push_back(near);
  }
  return places;
}

TEST_P(S3Cuts, AtEveryPlaceOfEveryRangeIsAnErrorAndNeverAShortRead) {
  for (std::uint64_t request = 0; request < ranges; ++request) {
    for (const std::uint64_t at : places()) {
      store_.server().forgive();
      store_.server().at_request("GetObject", request, {.kind = GetParam(), .at = at});
      const auto bytes = read(store_.store());
      EXPECT_TRUE(bytes.code() == Code::unavailable || bytes.code() == Code::corrupt) << "request " << request << " cut at " << at << ": " << name(bytes.code());
    }
  }
}

TEST_P(S3Cuts, BehindTheGuardIsAskedAgainAndReadWhole) {
  const std::shared_ptr<UnderStore> bare(&store_.store(), [](UnderStore*) {});
  GuardOptions options;
  options.retry_budget.initial = options.retry_budget.most = 1000;  // one cut in each read here, one in very many elsewhere
  const auto guarded = guard_store(bare, options, real_clock(), 1);
  for (std::uint64_t request = 0; request < ranges; ++request) {
    for (const std::uint64_t at : {std::uint64_t{0}, std::uint64_t{1}, range / 2, piece, range - 1}) {
      store_.server().forgive();
      store_.server().at_request("GetObject", request, {.kind = GetParam(), .at = at});
      const auto bytes = read(*guarded);
      ASSERT_TRUE(bytes) << "request " << request << " cut at " << at << ": " << bytes.error().to_string();
      EXPECT_TRUE(*bytes == content_) << "request " << request << " cut at " << at;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(WithAndWithoutLength, S3Cuts, ::testing::Values(Kind::cut_body, Kind::cut_before_length),
                         [](const auto& each) { return each.param == Kind::cut_body ? "WithLength" : "WithoutLength"; });

}  // namespace
}  // namespace hearth::s3
