// hearth-posix-suite --path DIR [--lacks FEATURE,...] [--keep] [--gtest_filter=... and other flags of GoogleTest]
//
// POSIX rules over any directory, one small test per rule. 0: all hold; 1: some do not, or the command line is wrong;
// 77: this is not root, which is needed for the users (1 under HEARTH_CI=1).
#include "tests/posix/suite.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <iostream>
#include <memory>

namespace {

// Failures of "-1 instead of 5 bytes" say why.
class SaysErrno : public ::testing::EmptyTestEventListener {
  void OnTestPartResult(const ::testing::TestPartResult& result) override {
    const int error = errno;
    if (result.failed()) std::cout << "  errno of the last call that set it: " << hearth::posix::Errno{error} << "\n";
    errno = error;
  }
};

}  // namespace

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  const std::string wrong = hearth::posix::take_flags(argc, argv);
  if (!wrong.empty()) {
    std::cerr << wrong << "\nfeatures that --lacks knows:";
    for (const auto& [feature, name] : hearth::posix::feature_names()) std::cerr << " " << name;
    std::cerr << "\n";
    return 1;
  }
  if (::geteuid() != 0) {
    const char* ci = std::getenv("HEARTH_CI");
    std::cerr << "not root: the suite runs as three users\n";
    return ci != nullptr && std::string(ci) == "1" ? 1 : 77;
  }
  const std::string failed = hearth::posix::begin();
  if (!failed.empty()) {
    std::cerr << failed << "\n";
    return 1;
  }
  ::testing::UnitTest::GetInstance()->listeners().Append(std::make_unique<SaysErrno>().release());
  const int status = RUN_ALL_TESTS();
  hearth::posix::end();
  return status;
}
