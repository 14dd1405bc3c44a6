// What --lacks names must be refused clearly, and everything else must be there: a feature that is present but declared
// missing fails as one that is missing and not declared.
#include "tests/posix/suite.h"

#include <linux/falloc.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace hearth::posix {
namespace {

struct Case {
  Feature feature;
  std::initializer_list<int> refusals;  // what says clearly that there is no such thing
  Errno (*probe)();                     // in a directory with "file", of 4,096 bytes
};

Errno allocate(int mode) {
  const UniqueFd fd = opened("file", O_RDWR);
  return errno_of(::fallocate(fd.get(), mode, 0, 4096));
}

const Case cases[] = {
    {Feature::acl,
     {EOPNOTSUPP},
     [] {
       return errno_of(::setxattr(".", "system.posix_acl_default",
                                  "\2\0\0\0\1\0\7\0\xff\xff\xff\xff\4\0\7\0\xff\xff\xff\xff\x20\0\7\0\xff\xff\xff\xff",
                                  28, 0));
     }},
    {Feature::tmpfile, {EOPNOTSUPP, EISDIR}, [] { return errno_of_open(".", O_TMPFILE | O_RDWR); }},
    {Feature::fallocate, {EOPNOTSUPP}, [] { return allocate(FALLOC_FL_KEEP_SIZE); }},
    {Feature::punch_hole, {EOPNOTSUPP}, [] { return allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE); }},
    {Feature::zero_range, {EOPNOTSUPP}, [] { return allocate(FALLOC_FL_ZERO_RANGE); }},
    {Feature::user_xattr, {EOPNOTSUPP}, [] { return errno_of(::setxattr("file", "user.a", "1", 1, 0)); }},
    {Feature::trusted_xattr, {EOPNOTSUPP}, [] { return errno_of(::setxattr("file", "trusted.a", "1", 1, 0)); }},
    {Feature::link, {EPERM, EOPNOTSUPP}, [] { return errno_of(::link("file", "second")); }},
    {Feature::mknod, {EPERM, EOPNOTSUPP}, [] { return errno_of(::mknod("fifo", S_IFIFO | 0600, 0)); }},
    {Feature::rename_exchange,
     {EINVAL},
     [] { return errno_of(::renameat2(AT_FDCWD, "file", AT_FDCWD, "other", RENAME_EXCHANGE)); }},
    {Feature::mmap_shared,
     {ENODEV},
     [] {
       const UniqueFd fd = opened("file", O_RDWR);
       void* map = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
       const Errno outcome = errno_of(map);
       if (outcome == 0) ::munmap(map, 4096);
       return outcome;
     }},
    {Feature::direct, {EINVAL}, [] { return errno_of_open("file", O_RDWR | O_DIRECT); }},
};

class Features : public Posix, public ::testing::WithParamInterface<FeatureName> {};

TEST_P(Features, WorkOrAreRefusedAsDeclared) {
  make_file("file", pattern(4096));
  make_file("other");
  for (const Case& each : cases) {
    if (each.feature != GetParam().feature) continue;
    const Errno outcome = each.probe();
    if (!lacks(each.feature)) {
      EXPECT_EQ(outcome, 0) << "if this file system legitimately has none, say --lacks " << GetParam().name;
    } else {
      EXPECT_TRUE(one_of(outcome, each.refusals))
          << outcome << " is no clear refusal" << (outcome == 0 ? ": it works" : "");
      EXPECT_TRUE(same(contents("file"), pattern(4096)));
    }
    return;
  }
  FAIL() << "no probe for " << GetParam().name;
}

INSTANTIATE_TEST_SUITE_P(All, Features, ::testing::ValuesIn(feature_names()), [](const auto& info) {
  std::string name(info.param.name);
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
});

}  // namespace
}  // namespace hearth::posix
