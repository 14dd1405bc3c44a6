#include "tiering/huge_pages.h"
#include "tiering/page_table.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

namespace hearth {
namespace {

constexpr std::uint64_t mib = 1ULL << 20;

TEST(Layout, ChargesTheWholeGranuleOfEachUnit) {
  const Layout small = Layout::of(10 * mib + 5, mib, Granule::small);
  EXPECT_EQ(small.unit_count(), 11U);
  EXPECT_EQ(small.unit_charge_bytes(0), mib);
  EXPECT_EQ(small.unit_charge_bytes(10), 4096U);
  const Layout huge = Layout::of(10 * mib + 5, mib, Granule::huge);
  EXPECT_EQ(huge.unit_count(), 6U);
  EXPECT_EQ(huge.pages_per_unit(), 2U);
  EXPECT_EQ(huge.unit_of(PageIndex{3}), 1U);
  EXPECT_EQ(huge.unit_charge_bytes(5), 2 * mib);
  EXPECT_EQ(huge.block_charge_bytes(), 12 * mib);
}

TEST(Layout, UsesHugePagesOnlyWhereTheyFit) {
  EXPECT_EQ(Layout::of(mib, mib, Granule::huge).granule, Granule::small);
  EXPECT_EQ(Layout::of(mib + 1, mib, Granule::huge).granule, Granule::huge);
  EXPECT_EQ(Layout::of(9 * mib, 3 * mib, Granule::huge).granule, Granule::small);
  EXPECT_EQ(Layout::of(9 * mib, 4 * mib, Granule::huge).unit_bytes, 4 * mib);
}

TEST(HugePageProbe, ReadsTheBracketedWord) {
  const auto path = std::filesystem::temp_directory_path() / ("hearth-probe-" + std::to_string(::getpid()));
  const auto probe = [&path](const char* text) {
    std::ofstream(path) << text;
    return probe_huge_pages(path.string());
  };
  EXPECT_EQ(probe("always within_size [advise] never deny force\n"), HugePageSupport::present);
  EXPECT_EQ(probe("[always] within_size advise never deny force\n"), HugePageSupport::present);
  EXPECT_EQ(probe("always within_size advise [never] deny force\n"), HugePageSupport::absent);
  EXPECT_EQ(probe("nonsense"), HugePageSupport::absent);
  std::filesystem::remove(path);
  EXPECT_EQ(probe_huge_pages(path.string()), HugePageSupport::absent);
}

}  // namespace
}  // namespace hearth
