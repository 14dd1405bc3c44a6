// Random operations, several at a time on a disk with latencies, against what is known of every page: a read shows the bytes that
// were written or says that they are not here, and the budget holds after each step, in the ledger and on the medium.
#include "tiering/nvme/nvme_test_support.h"

#include "common/rng.h"

#include <cstdlib>
#include <iostream>
#include <map>

namespace hearth {
namespace {

using namespace hearth::testing;  // NOLINT: a test

constexpr std::uint64_t capacity = 96 * 4096;

std::uint64_t test_seed() {
  const char* given = std::getenv("HEARTH_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : system_rng().next();
  std::cout << "HEARTH_SEED=" << seed << "\n";
  return seed;
}

std::uint64_t steps_wanted() { return std::getenv("HEARTH_LONG") != nullptr ? 10'000'000 : 100'000; }

DiskTierOptions model_options() {
  DiskTierOptions options = small_tier(capacity);
  options.max_page_bytes = 32 * 1024;
  options.max_open_files = 4;
  options.low_watermark = 0.9;
  options.high_watermark = 0.97;
  options.sums_cache_bytes = 800;  // a few pages' worth
  options.scrub_bytes_per_second = 1 << 20;
  options.scrub_pause = std::chrono::seconds(1);
  return options;
}

// Twelve blocks: single pages, odd ends, many pages, and pages long enough to have sector checksums.
BlockRef some_block(std::uint64_t number) {
  if (number % 4 == 3) return make_block(number, 70'000 + number, 32 * 1024);
  return make_block(number, number % 4 == 0 ? 1 + number * 300 : number * 9'000, 4096);
}
constexpr std::uint64_t block_count = 12;

struct Counts {
  std::uint64_t reads_right = 0, writes_done = 0, grants = 0, frees = 0, refused_for_room = 0, restarts = 0;
};

class Model {
 public:
  enum class Clients { one, many };
  Model(World& world, std::uint64_t seed, Clients clients) : world_(world), clients_(clients), rng_(seed) {}

  // A client of the tier. Every answer is compared at once.
  Task<> client(std::uint64_t steps) {
    for (std::uint64_t i = 0; i < steps; ++i) {
      CO_CHECK_OK(co_await step());
      Status holds = budget_holds();
      if (!holds) {
        auto report = co_await tier().check();
        std::string why = holds.error().message();
        for (const std::string& each : report->problems) why += "\n" + each;
        co_return Error(Code::internal, why);
      }
    }
    co_return ok();
  }

  Counts counts;

 private:
  DiskTierImpl& tier() { return world_.tier(); }

  Status wrong(const BlockRef& block, PageIndex page, const std::string& what) const {
    return Error(Code::internal, what + " (block " + std::to_string(block.id.low) + " page " + std::to_string(page.value) + ")");
  }

  Task<> step() {
    const BlockRef block = some_block(rng_.below(block_count));
    const PageIndex page{static_cast<std::uint32_t>(rng_.below(block.page_count()))};
    const std::uint64_t dice = rng_.below(1000);
    if (dice < 450) {
      Status done = co_await read(block, page);
      co_return done;
    }
    if (dice < 850) {
      Status done = co_await write(block, page);
      co_return done;
    }
    if (dice < 880) {
      if (tier().free_block(block.id) > 0) ++counts.frees;
    } else if (dice < 900) {
      tier().drop_corrupt(block.id, page);
    } else if (dice < 910) {
      tier().drop_page(block.id, page);
    } else if (dice < 935) {
      Status done = co_await grant(block);
      co_return done;
    } else if (dice < 960) {
      release_one();
    } else if (dice < 970) {
      tier().pin(block.id, pinned_ % 3 == 0 ? Pinned::yes : Pinned::no);
      ++pinned_;
    } else if (dice < 980) {
      const Deadline soon = world_.soon();
      Status begun = co_await tier().begin_whole(block, soon);
      if (!begun && !allowed(begun.code())) co_return wrong(block, page, "begin_whole: " + begun.error().to_string());
    } else if (dice < 990) {
      tier().end_whole(block.id);
    } else {
      tier().step();
    }
    co_return ok();
  }

  static bool allowed(Code code) { return code == Code::not_found || code == Code::busy || code == Code::no_space || code == Code::already_exists; }

  Task<> read(BlockRef block, PageIndex page) {
    const std::uint32_t length = block.page_length_bytes(page);
    const std::uint64_t offset = rng_.below(2) == 0 ? 0 : rng_.below(length);
    const std::uint64_t wanted = offset == 0 && rng_.below(2) == 0 ? length : 1 + rng_.below(length - offset);
    const Deadline soon = world_.soon();
    auto shown = co_await tier().read(block, page, offset, wanted, soon);
    if (!shown) co_return shown.code() == Code::not_found ? ok() : wrong(block, page, "read: " + shown.error().to_string());
    const auto expected = content(block, std::uint64_t{page.value} * block.page_size_bytes + offset, wanted);
    if (std::memcmp(shown->bytes.data(), expected.data(), wanted) != 0) co_return wrong(block, page, "WRONG BYTES");
    if (shown->chunk_checksums.at(0) != crc32c(std::span(expected).first(std::min<std::uint64_t>(wanted, checksum_chunk_bytes - offset)))) {
      co_return wrong(block, page, "wrong checksum");
    }
    ++counts.reads_right;
    co_return ok();
  }

  Task<> write(BlockRef block, PageIndex page) {
    const auto bytes = page_content(block, page);
    std::vector<std::uint32_t> sums = chunk_checksums(bytes);
    const Deadline soon = world_.soon();
    Status written = co_await tier().write(block, page, std::span<const std::byte>(bytes), std::move(sums), soon);
    if (!written && !allowed(written.code())) co_return wrong(block, page, "write: " + written.error().to_string());
    if (written) ++counts.writes_done;
    if (written.code() == Code::no_space) ++counts.refused_for_room;
    co_return ok();
  }

  Task<> grant(BlockRef block) {
    const Deadline soon = world_.soon();
    auto granted = co_await tier().grant(block, soon);
    if (!granted) co_return allowed(granted.code()) ? ok() : wrong(block, PageIndex{0}, "grant: " + granted.error().to_string());
    const auto expected = content(block, 0, block.length_bytes);
    std::vector<std::uint32_t> sums;
    for (std::uint32_t page = 0; page < block.page_count(); ++page) {
      const auto of_page = chunk_checksums(page_content(block, PageIndex{page}));
      sums.insert(sums.end(), of_page.begin(), of_page.end());
    }
    if (granted->chunk_checksums != sums) co_return wrong(block, PageIndex{0}, "a grant with wrong checksums");
    const auto file = world_.medium->content(block_file_name(block.id));
    const bool same = file && file->size() == expected.size() && std::memcmp(file->data(), expected.data(), expected.size()) == 0;
    // With others at work it may be freed and written anew by now.
    if (clients_ == Clients::one && tier().residency(block.id).leases > 0 && !same) co_return wrong(block, PageIndex{0}, "a granted file that does not show the block");
    leases_.push_back(granted->lease);
    if (leases_.size() > 3) release_one();
    ++counts.grants;
    co_return ok();
  }

  void release_one() {
    if (leases_.empty()) return;
    const std::size_t which = rng_.below(leases_.size());
    const LeaseId lease = leases_[which];
    leases_.erase(leases_.begin() + static_cast<std::ptrdiff_t>(which));
    tier().release(lease);
  }

  Status budget_holds() {
    const DiskTierStats stats = tier().stats();
    const std::uint64_t charged = stats.resident_bytes + stats.filling_bytes + stats.leaving_bytes + stats.orphaned_bytes;
    if (charged > capacity) return Error(Code::internal, "the budget is exceeded: " + std::to_string(charged));
    std::uint64_t own = 0;
    const bool look = looks_++ % 16 == 0;  // copying the files at each step would take most of the time
    for (const std::string_view name : {identity_file_name, index_file_name, sums_file_name, probe_file_name}) {
      const auto file = look ? world_.medium->content(std::string(name)) : std::nullopt;
      if (file) sizes_[std::string(name)] = (file->size() + 8191) / 4096 * 4096;
    }
    for (const auto& [name, size] : sizes_) own += size;
    constexpr std::uint64_t since_looked = 8 * 4096;
    if (world_.medium->used_bytes() > charged + own + since_looked) {
      return Error(Code::internal, "the medium holds " + std::to_string(world_.medium->used_bytes()) + " bytes, " + std::to_string(charged) + " are billed");
    }
    return ok();
  }

  World& world_;
  const Clients clients_;
  SeededRng rng_;
  std::vector<LeaseId> leases_;
  std::map<std::string, std::uint64_t> sizes_;
  std::uint64_t pinned_ = 0;
  std::uint64_t looks_ = 0;

 public:
  void release_all() {
    while (!leases_.empty()) release_one();
  }
};

Task<> clients(Model& model, asio::io_context& io, Clock& clock, int count, std::uint64_t steps_each) {
  TaskGroup group(io.get_executor(), clock);
  std::string failure;
  for (int i = 0; i < count; ++i) {
    auto one = [](Model& of, std::uint64_t steps, std::string& told) -> Task<> {
      Status done = co_await of.client(steps);
      if (!done && told.empty()) told = done.error().message();
      co_return ok();
    };
    CO_CHECK_OK(group.spawn(one(model, steps_each, failure), "client"));
  }
  CO_CHECK_OK(co_await group.join());
  if (!failure.empty()) co_return Error(Code::internal, failure);
  co_return ok();
}

void run_model(int concurrent, Duration latency, std::uint64_t steps) {
  const std::uint64_t seed = test_seed();
  World world(SimDiskOptions{.seed = seed});
  Model model(world, seed, concurrent == 1 ? Model::Clients::one : Model::Clients::many);
  constexpr std::uint64_t rounds = 10;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    ASSERT_TRUE(world.open(model_options()));
    world.medium->set_latency(latency);
    const Status done = world.run(clients(model, *world.io, world.clock, concurrent, steps / rounds / static_cast<std::uint64_t>(concurrent)));
    ASSERT_TRUE(done) << done.error().message() << " in round " << round << " of HEARTH_SEED=" << seed;
    world.medium->set_latency(Duration::zero());
    world.in_context([&] { model.release_all(); });
    ASSERT_EQ(world.problems(), "") << "in round " << round << " of HEARTH_SEED=" << seed;
    ASSERT_EQ(world.tier().stats().corrupt_pages, 0U);
    ASSERT_EQ(world.tier().stats().orphaned_bytes, 0U);
    world.close();
  }
  std::cout << "right reads " << model.counts.reads_right << ", writes " << model.counts.writes_done << ", grants " << model.counts.grants << ", frees "
            << model.counts.frees << ", without room " << model.counts.refused_for_room << "\n";
  EXPECT_GT(model.counts.reads_right, steps / 20);
  EXPECT_GT(model.counts.writes_done, steps / 50);
  EXPECT_GT(model.counts.grants, 0U);
}

TEST(DiskTierModel, AgreesWithItsReferenceOneCallAtATime) { run_model(1, Duration::zero(), steps_wanted()); }

TEST(DiskTierModel, AgreesWithItsReferenceWithManyCallsInFlight) { run_model(8, std::chrono::microseconds(50), steps_wanted() / 4); }

}  // namespace
}  // namespace hearth
