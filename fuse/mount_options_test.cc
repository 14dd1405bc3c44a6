#include "fuse/mount.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

using namespace std::chrono_literals;

TEST(MountOptions, ReadsTheWordsOfAnFstabLine) {
  const auto options = parse_mount_options(
      "ro,allow_other,attr_timeout=1s,entry_timeout=500ms,master=host:19800,passthrough=require,threads=8,max_read=128KiB");
  ASSERT_TRUE(options) << options.error().message();
  EXPECT_EQ(options->allow_other, MountOptions::AllowOther::yes);
  EXPECT_EQ(options->attr_timeout, Duration(1s));
  EXPECT_EQ(options->entry_timeout, Duration(500ms));
  EXPECT_EQ(options->master, "host:19800");
  EXPECT_EQ(options->passthrough, MountOptions::Passthrough::require);
  EXPECT_EQ(options->threads, 8U);
  EXPECT_EQ(options->max_read_bytes, 128U << 10);
}

TEST(MountOptions, PassesOverWhatBelongsToMountAndSystemd) {
  EXPECT_TRUE(parse_mount_options("rw,defaults,_netdev,nofail,noauto,user,x-systemd.automount,x-systemd.requires=a.service,,noatime"));
  EXPECT_TRUE(parse_mount_options(""));
}

TEST(MountOptions, LocksHoldInTheClusterUnlessSaidOtherwise) {
  EXPECT_EQ(parse_mount_options("writable")->locks, MountOptions::Locks::cluster);
  EXPECT_EQ(parse_mount_options("writable,locks=local")->locks, MountOptions::Locks::local);
}

TEST(MountOptions, TakesAnEscapedCommaIntoAValue) {
  EXPECT_EQ(parse_mount_options("subtree=/a\\,b\\\\c,ro")->subtree, "/a,b\\c");
}

TEST(MountOptions, RefusesAnUnknownWordByNameWithTheNearestOne) {
  const auto options = parse_mount_options("ro,atr_timeout=1s");
  ASSERT_EQ(options.code(), Code::invalid_argument);
  EXPECT_NE(options.error().message().find("'atr_timeout'"), std::string::npos);
  EXPECT_NE(options.error().message().find("'attr_timeout'"), std::string::npos);
}

TEST(MountOptions, RefusesWrongValuesAndNamesTheOption) {
  for (const char* text : {"attr_timeout=1", "attr_timeout", "threads=0", "threads=many", "passthrough=maybe",
                           "max_read=2MiB", "allow_other=1", "suid", "dev", "locks=none"}) {
    const auto options = parse_mount_options(text);
    ASSERT_EQ(options.code(), Code::invalid_argument) << text;
    const std::string name = std::string(text).substr(0, std::string(text).find('='));
    EXPECT_NE(options.error().message().find(name), std::string::npos) << options.error().message();
  }
}

}  // namespace
}  // namespace hearth
