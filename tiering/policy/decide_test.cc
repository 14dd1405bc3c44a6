// decide() is asked for every file and page that is new to a worker: it must not reach for the heap.
#include "tiering/policy/policy.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

namespace {

std::size_t allocations = 0;  // of this single-threaded program

}  // namespace

void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size == 0 ? 1 : size);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace hearth::policy {
namespace {

TEST(Decide, AllocatesNothing) {
  const Result<Policy> policy = parse_policy(R"([[rule]]
name = "a rule whose name is longer than any small string"
path = ["/lake/{a,b}/**/part-*[0-9].parquet", "/other/**"]
not_path = "/lake/a/tmp/**"
suffix = ".parquet"
owner = ["alice", "7"]
tenant = "a tenant whose name is longer than any small string"
min_size = "1KiB"
pin = { tier = "memory" }
class = "a-class-with-quite-a-long-name"
[[rule]]
name = "rest"
ttl = "1d"
[[quota]]
name = "q"
path = "/lake/**"
memory_max = "10%"
)", "p");
  ASSERT_TRUE(policy) << policy.error().message();
  const Subject subject{.path = "/lake/b/x/y/z/part-000017.parquet", .length_bytes = 1 << 20, .uid = 7,
                        .tenant = "a tenant whose name is longer than any small string"};
  const std::size_t before = allocations;
  const Decision decision = policy->decide(subject);
  const std::size_t used = allocations - before;
  EXPECT_EQ(used, 0u);
  EXPECT_GT(before, 0u) << "the counter counts";
  EXPECT_EQ(decision.source(Attribute::pin).rule, "a rule whose name is longer than any small string");
  EXPECT_EQ(decision.values.qos_class.view(), "a-class-with-quite-a-long-name");
  EXPECT_TRUE(decision.quotas.has(0));
}

}  // namespace
}  // namespace hearth::policy
