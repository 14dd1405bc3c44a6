// A real mount of a FakeSource in a temporary directory.
//
// Needs root and /dev/fuse. Without them a test is skipped with the reason, except under HEARTH_CI=1: there it fails.
#pragma once

#include "fuse/mount.h"
#include "fuse/testing/fake_source.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

namespace hearth::testing {

class MountFixture : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  MountOptions options() const;
  // Mounts; `source` stays valid until unmount().
  void mount(MountOptions with);
  void mount() { mount(options()); }
  void unmount();

  std::string at(const std::string& path) const { return point_ + path; }
  // Whole content, or "errno N" when it can not be read.
  static std::string read_all(const std::string& path);
  static int open_errno(const std::string& path);
  // Asks `condition` again and again, with requests to the mount between, until it holds or 10 s are over.
  bool eventually(const std::function<bool()>& condition) const;
  static std::size_t open_fds();

  std::string point_;
  FakeSource* source_ = nullptr;  // owned by the mount, or by fresh_ before
  std::unique_ptr<FakeSource> fresh_;
  std::unique_ptr<Mount> mount_;
};

}  // namespace hearth::testing
