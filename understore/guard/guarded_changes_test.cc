// Changes and uploads behind a guard: which are repeated, and after what.
#include "understore/guard/guarded_store.h"
#include "understore/sim_store.h"
#include "understore/staged_conformance.h"

namespace hearth {
namespace {

using namespace std::chrono_literals;
using Replaces = StagedContent::Replaces;

class GuardedChanges : public ::testing::Test {
 protected:
  GuardedChanges() {
    GuardOptions options;
    options.retries = {.max_attempts = 3, .first_pause = 1ms, .longest_pause = 1ms};
    guarded_ = guard_store(sim_, options, real_clock(), 1);
    sim_->put_text("f", "x");
  }
  static Deadline soon() { return Deadline::after(real_clock(), 30s); }
  Code upload(Replaces replaces) {
    const UniqueFd fd = staged_file("content");
    const std::string path = replaces == Replaces::nothing ? "new" : "f";
    return run_task(guarded_->upload(path, {.fd = fd.get(), .length_bytes = 7, .replaces = replaces}, soon())).code();
  }
  Code change(Change what) { return run_task(guarded_->change(std::move(what), Caller(), soon())).code(); }
  void next_fails(SimOp op, Code code) { sim_->at_next_call(op, {.kind = SimFault::Kind::fail, .code = code}); }

  std::shared_ptr<SimStore> sim_ = std::make_shared<SimStore>(real_clock());
  std::shared_ptr<GuardedStore> guarded_;
};

TEST_F(GuardedChanges, UploadsThatMayReplaceAreRepeatedAfterSilence) {
  next_fails(SimOp::upload, Code::unavailable);
  EXPECT_EQ(upload(Replaces::anything), Code::ok);
  EXPECT_EQ(sim_->calls(SimOp::upload), 2U);
}

TEST_F(GuardedChanges, UploadsThatMayNotReplaceOnlyAfterARefusal) {
  next_fails(SimOp::upload, Code::unavailable);
  EXPECT_EQ(upload(Replaces::nothing), Code::unavailable);
  EXPECT_EQ(sim_->calls(SimOp::upload), 1U);
  next_fails(SimOp::upload, Code::overloaded);
  EXPECT_EQ(upload(Replaces::nothing), Code::ok);
  EXPECT_EQ(sim_->calls(SimOp::upload), 3U);
}

TEST_F(GuardedChanges, RemovalsAndRenamesOnlyAfterARefusal) {
  next_fails(SimOp::remove, Code::unavailable);
  EXPECT_EQ(change(RemoveFile{.path = "f"}), Code::unavailable);
  EXPECT_EQ(sim_->calls(SimOp::remove), 1U);
  next_fails(SimOp::rename, Code::overloaded);
  EXPECT_EQ(change(Rename{.from = "f", .to = "g"}), Code::ok);
  EXPECT_EQ(sim_->calls(SimOp::rename), 2U);
}

// Story: a tree half moved; repeating the rename would find its target not empty.
TEST_F(GuardedChanges, RenamesThatMayBeHalfDoneAreNotRepeated) {
  sim_->put_directory("d");
  next_fails(SimOp::rename, Code::overloaded);
  EXPECT_EQ(change(Rename{.from = "d", .to = "e"}), Code::unavailable);
  EXPECT_EQ(sim_->calls(SimOp::rename), 1U);
}

TEST_F(GuardedChanges, WhatSaysTheSameTwiceIsRepeatedAfterSilence) {
  next_fails(SimOp::stat, Code::unavailable);
  EXPECT_EQ(change(SetAttributes{.path = "f", .mode = 0600}), Code::ok);
  next_fails(SimOp::stat, Code::unavailable);
  EXPECT_EQ(change(LookAgain{.path = "f"}), Code::ok);
}

TEST_F(GuardedChanges, AttributesAreAnsweredAsTheStoreDoes) {
  EXPECT_EQ(run_task(guarded_->xattr("f", "user.x", Caller(), soon())).error().error_number(), ENODATA);
  EXPECT_TRUE(run_task(guarded_->xattr_names("f", Caller(), soon()))->empty());
  EXPECT_EQ(run_task(guarded_->open_for_writing({.path = "f"}, Caller(), soon())).code(), Code::read_only);
}

}  // namespace
}  // namespace hearth
