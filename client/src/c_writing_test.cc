// The C interface that changes files, called by a program in C (c_writing_checks.c), against a real master and worker.
#include "client/c_writing_checks.h"

#include "common/clock.h"
#include "tests/support/in_process_cluster.h"
#include "understore/sim_store.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

namespace hearth::testing::c_writing {
namespace {

void expect_so(const char* wrong) { EXPECT_EQ(wrong, nullptr) << wrong << "; " << hearth_error_message(); }

class CWriting : public ::testing::Test {
 protected:
  CWriting() : cluster_(InProcessClusterOptions{.workers = 1}) {
    EXPECT_TRUE(cluster_.start());
    AttachmentOptions attachment;
    attachment.metadata_ttl = std::chrono::hours(1);  // what is seen earlier is seen because of a change
    EXPECT_TRUE(cluster_.attach("/data", attachment));
    master_ = cluster_.client_options().master;
  }
  using Check = const char* (*)(const char*, const char*);
  void expect(Check check) { expect_so(check(master_.c_str(), "/data")); }

  InProcessCluster cluster_;
  std::string master_;
};

TEST_F(CWriting, NullAndUnknownArgumentsAreRefusedWithASentence) { expect(check_null_writing_arguments); }
TEST_F(CWriting, AFileIsWrittenInPlaceAndReadThroughTheCache) { expect(check_writer); }
TEST_F(CWriting, WhatWasWrittenInPlaceStaysAfterAnAbort) { expect(check_aborts_in_place); }
TEST_F(CWriting, NamesAreMadeMovedAndRemoved) { expect(check_names); }
TEST_F(CWriting, AttributesAreSet) { expect(check_attributes); }
TEST_F(CWriting, ExtendedAttributesAreSetListedAndRemoved) { expect(check_xattrs); }
TEST_F(CWriting, ACallerHasItsOwnRightsAndUmask) { expect(check_callers); }
TEST_F(CWriting, RoomIsThatOfTheUnderStore) { expect(check_space); }
TEST_F(CWriting, ManyThreadsAppendToOneWriter) { expect(check_many_threads_append); }
TEST_F(CWriting, AForkedChildCanOnlyLetGo) { expect(check_writers_of_a_forked_child); }

TEST(CWritingNowhere, AWriterNeedsAWorkerOfThisHost) {
  InProcessCluster cluster(InProcessClusterOptions{.workers = 0});
  ASSERT_TRUE(cluster.start());
  ASSERT_TRUE(cluster.attach("/data"));
  hearth_options options;
  hearth_options_init(&options);
  const std::string master = cluster.client_options().master;
  options.master = master.c_str();
  hearth_client* client = nullptr;
  ASSERT_EQ(hearth_connect(&options, &client), 0);
  hearth_writer* writer = nullptr;
  EXPECT_EQ(hearth_open_writer(client, "/data/f", HEARTH_CREATE, 0644, nullptr, &writer), HEARTH_UNSUPPORTED);
  EXPECT_NE(std::string(hearth_error_message()).find("hearth-worker"), std::string::npos) << hearth_error_message();
  EXPECT_EQ(hearth_mkdir(client, "/data/d", 0755, nullptr), 0) << "names need none";
  hearth_disconnect(client);
}

TEST(CWritingStaged, AnObjectAppearsWholeOrNotAtAll) {
  auto store = std::make_shared<SimStore>(real_clock(), "sim://one");
  InProcessClusterOptions options;
  options.open_store = [store](const std::string&) { return Result<std::shared_ptr<UnderStore>>(store); };
  InProcessCluster cluster(std::move(options));
  ASSERT_TRUE(cluster.start());
  ASSERT_TRUE(cluster.attach("/s", "sim://one", AttachmentOptions()));
  expect_so(check_staged(cluster.client_options().master.c_str(), "/s"));
}

}  // namespace
}  // namespace hearth::testing::c_writing
