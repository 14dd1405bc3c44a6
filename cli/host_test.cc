// What is read from this host, and the words of mount(8).
#include "cli/commands/host_checks.h"
#include "cli/commands/mount_helper.h"
#include "cli/up/discovery.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdlib>

namespace hearth::cli {
namespace {

TEST(MountInfo, FindsOnlyHearthAndUndoesItsEscapes) {
  const auto mounts = hearth_mounts(
      "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
      "90 25 0:51 / /mnt/a\\040b ro,nosuid shared:7 - fuse.hearth hearth://127.0.0.1:19800/ ro,user_id=0\n"
      "91 25 0:52 / /mnt/other rw - fuse.sshfs host: rw\n");
  ASSERT_EQ(mounts.size(), 1U);
  EXPECT_EQ(mounts[0].mountpoint, "/mnt/a b");
  EXPECT_EQ(mounts[0].source, "hearth://127.0.0.1:19800/");
}

TEST(Kernel, VersionIsReadFromItsRelease) {
  EXPECT_EQ(parse_kernel_version("6.12.3-amd64").major, 6U);
  EXPECT_EQ(parse_kernel_version("6.12.3-amd64").minor, 12U);
  EXPECT_EQ(parse_kernel_version("odd").major, 0U);
}

TEST(Kernel, SettingIsTheWordInBrackets) {
  EXPECT_EQ(chosen_word("always within_size [advise] never deny force\n"), "advise");
  EXPECT_EQ(chosen_word("advise"), "");
}

TEST(BlockLimits, SaysHowManyBlocksCanBeSharedAndHowToHaveMore) {
  const Check usual = check_block_limits({.open_files = 1U << 20, .mappings = 65'530});
  EXPECT_EQ(usual.verdict, Verdict::good);
  EXPECT_NE(usual.finding.find("can share 49146 blocks"), std::string::npos) << usual.finding;
  EXPECT_NE(usual.remedy.find("vm.max_map_count=262144"), std::string::npos) << "mappings are what bounds it: " << usual.remedy;
  const Check few_files = check_block_limits({.open_files = 1024, .mappings = 65'530});
  EXPECT_EQ(few_files.verdict, Verdict::warning);
  EXPECT_NE(few_files.finding.find("can share 512 blocks"), std::string::npos) << few_files.finding;
  EXPECT_NE(few_files.remedy.find("LimitNOFILE="), std::string::npos) << few_files.remedy;
  EXPECT_NE(few_files.remedy.find("98292"), std::string::npos) << "as many as the mappings allow: " << few_files.remedy;
  EXPECT_NE(check_block_limits({.open_files = UINT64_MAX, .mappings = 1U << 20}).finding.find("can share 786432 blocks"), std::string::npos);
}

TEST(BlockLimits, AreThoseOfThisProcess) {
  const BlockLimits soft = read_block_limits(OpenFilesLimit::soft);
  const BlockLimits hard = read_block_limits(OpenFilesLimit::hard);
  EXPECT_GE(hard.open_files, soft.open_files);
  EXPECT_EQ(hard.mappings, soft.mappings);
  EXPECT_GE(soft.shareable_blocks(), 1U);
}

TEST(MountHelper, TranslatesWhatMountPasses) {
  auto words = mount_helper_words({"hearth://m1:19800/data", "/mnt/x", "-o", "ro,_netdev", "-sv", "-oallow_other"});
  ASSERT_TRUE(words) << words.error().message();
  EXPECT_EQ(*words, (std::vector<std::string>{"mount", "--subtree=/data", "--quiet", "--master=m1:19800",
                                              "--options=ro,_netdev,allow_other", "--", "/mnt/x"}));
}

TEST(MountHelper, RefusesWhatIsNotASource) {
  EXPECT_EQ(mount_helper_words({"/dev/sda1", "/mnt/x"}).code(), Code::invalid_argument);
  EXPECT_EQ(mount_helper_words({"hearth://m1"}).code(), Code::invalid_argument);
  EXPECT_EQ(mount_helper_words({"hearth://m1", "/mnt", "-o"}).code(), Code::invalid_argument);
  EXPECT_EQ(mount_helper_words({"hearth://m1", "/mnt", "-x"}).code(), Code::invalid_argument);
}

TEST(MountHelper, FillsInThePortAndTheWholeTree) {
  auto source = parse_mount_source("hearth://[::1]");
  ASSERT_TRUE(source);
  EXPECT_EQ(source->master, "[::1]:19800");
  EXPECT_EQ(source->subtree, "/");
  EXPECT_EQ(parse_mount_source("hearth:///data")->master, "");
}

TEST(UpState, ComesBackAsItWasAlsoWithOddPaths) {
  const RunningUp state{.pid = 7, .pid_start = 99, .data_dir = "/a\nb\\c", .master = "127.0.0.1:1", .memory = "1GiB",
                        .attachments = {{"/x", "file:///x=y"}, {"/z", "file:///z"}}};
  const auto back = decode_state(encode_state(state));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->data_dir, state.data_dir);
  EXPECT_EQ(back->pid_start, 99U);
  EXPECT_EQ(back->attachments, state.attachments);
  EXPECT_FALSE(decode_state("torn"));
}

TEST(UpState, TellsAProcessFromALaterOneWithItsNumber) {
  RunningUp state{.pid = ::getpid(), .pid_start = process_start(::getpid()), .master = "m"};
  EXPECT_TRUE(is_running(state));
  state.pid_start += 1;
  EXPECT_FALSE(is_running(state));
}

TEST(UpState, IsOnlyRemovedByItsOwner) {
  char directory[] = "/tmp/hearth-cli-test-XXXXXX";
  ASSERT_NE(::mkdtemp(directory), nullptr);
  const RunningUp state{.pid = 12, .pid_start = 1, .master = "m"};
  ASSERT_TRUE(write_state(directory, state));
  remove_state(directory, 13);
  EXPECT_TRUE(read_state(directory));
  remove_state(directory, 12);
  EXPECT_FALSE(read_state(directory));
  ::rmdir(directory);
}

}  // namespace
}  // namespace hearth::cli
