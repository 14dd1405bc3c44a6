// The C ABI, called by a program in C (c_api_checks.c), against a scripted cluster.
#include "client/c_api_checks.h"

#include "client/src/testing_cluster.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace hearth::client::testing {
namespace {

class CApi : public ::testing::Test {
 protected:
  CApi() {
    char made[] = "/tmp/hearth-c-XXXXXX";
    directory_ = ::mkdtemp(made);
    worker_ = std::make_unique<FakeWorker>(1, directory_ + "/w.sock");
    large_.content.resize(1 << 20);
    for (std::size_t i = 0; i < large_.content.size(); ++i) large_.content[i] = static_cast<char>((i * 2654435761U) >> 13);
    small_.content = large_.content.substr(0, 5000);
    publish("/d/large", large_);
    publish("/d/small", small_);
    master_.set_workers({worker_->info()});
    address_ = master_.tcp_address();
  }
  ~CApi() override { std::filesystem::remove_all(directory_); }

  void publish(const std::string& path, const FakeFile& file) {
    master_.put(path, file);
    worker_->hold(path, file);
  }
  static known_file known(const char* path, const FakeFile& file) {
    return {path, reinterpret_cast<const unsigned char*>(file.content.data()), file.content.size()};
  }
  static void expect_so(const char* wrong) { EXPECT_EQ(wrong, nullptr) << wrong << "; " << hearth_error_message(); }

  std::string directory_;
  FakeMaster master_;
  std::unique_ptr<FakeWorker> worker_;
  FakeFile large_;
  FakeFile small_;
  std::string address_;
};

TEST_F(CApi, CodesHaveTheNamesAndErrnosOfTheTable) {
  expect_so(check_codes());
  for (const CodeInfo& row : code_table) {
    EXPECT_EQ(hearth_code_name(-static_cast<int>(row.code)), row.name);
    EXPECT_EQ(hearth_code_errno(-static_cast<int>(row.code)), row.error_number);
  }
}

TEST_F(CApi, OptionsOfANewerHeaderAreFilledAsFarAsKnown) { expect_so(check_options()); }

TEST_F(CApi, BadOptionsAreNamed) { expect_so(check_bad_options(address_.c_str())); }

TEST_F(CApi, NullAndBadArgumentsAreRefusedWithASentence) {
  const known_file file = known("/d/small", small_);
  expect_so(check_null_arguments(address_.c_str(), &file));
}

TEST_F(CApi, ReadsSmallAndLargeFiles) {
  const known_file large = known("/d/large", large_);
  expect_so(check_reads(address_.c_str(), &large));
  const known_file small = known("/d/small", small_);
  expect_so(check_reads(address_.c_str(), &small));
}

TEST_F(CApi, CallbacksAnswerAsynchronousReads) {
  const known_file large = known("/d/large", large_);
  expect_so(check_async_reads(address_.c_str(), &large));
  const known_file small = known("/d/small", small_);
  expect_so(check_async_reads(address_.c_str(), &small));
}

TEST_F(CApi, ManyAtOnceHaveAResultEach) {
  const known_file small = known("/d/small", small_);
  const known_file large = known("/d/large", large_);
  expect_so(check_batches(address_.c_str(), &small, &large));
}

TEST_F(CApi, AViewOutlivesFileAndClientAndMayBeMoved) {
  const known_file file = known("/d/large", large_);
  expect_so(check_view(address_.c_str(), &file));
}

TEST_F(CApi, WhatIsNotSharedIsNotShown) {
  const known_file file = known("/d/small", small_);
  expect_so(check_no_view(address_.c_str(), &file));
}

TEST_F(CApi, StatusVersionAndLinksAreThoseOfTheMaster) {
  FakeFile link;
  link.type = proto::SYMLINK;
  link.target = "small";
  master_.put("/l/link", link);
  const known_file file = known("/d/small", small_);
  expect_so(check_status(address_.c_str(), &file, "/l/link", "small"));
}

TEST_F(CApi, ListingsOutliveTheClient) {
  const char* const names[] = {"large", "small"};
  expect_so(check_listing(address_.c_str(), "/d", names, 2));
}

TEST_F(CApi, MessagesBelongToTheThreadThatFailed) { expect_so(check_messages_of_threads(address_.c_str())); }

TEST_F(CApi, AForkedChildIsRefusedAndConnectsAnew) {
  const known_file file = known("/d/large", large_);
  expect_so(check_forked_child(address_.c_str(), &file));
}

}  // namespace
}  // namespace hearth::client::testing
