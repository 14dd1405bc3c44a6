// Decisions per second of the eviction and admission classes on one core, with millions of entries.
//
//   hearth-eviction-bench [--entries N] [--accesses N] [--rounds N] [--markdown FILE]
//
// A decision is what a tier asks for one access: a hit is touched(); a miss is admission, victim(), removed() and inserted(),
// and counts as one. Which slot a page is in is the page index's business and not in the time: a first run records slots
// and misses, the measured ones replay them on a policy in the same state. Time is the thread's CPU time.
#include "common/rng.h"
#include "tiering/eviction/admission_policy.h"
#include "tiering/eviction/hashing.h"
#include "tiering/eviction/shards.h"
#include "tiering/eviction_policy.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace hearth;

constexpr std::uint64_t page_bytes = 1 << 20;
constexpr std::uint64_t pages_per_entry = 4;  // four times as many pages as fit
constexpr std::uint32_t absent = 0xFFFFFFFF;
constexpr std::uint32_t miss_bit = 1U << 31;

struct Options {
  std::uint64_t entries = 10'000'000;
  std::uint64_t accesses = 10'000'000;
  int rounds = 5;
  std::string markdown;
  std::string only;
};

struct Access {
  std::uint32_t slot;  // where it is found, or with miss_bit what makes room for it
  std::uint32_t page;
};

double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Zipf with exponent 1: (n + 1)^u is rank + 1 with probability ln((rank + 2) / (rank + 1)) / ln(n + 1). Ranks are scattered
// over the pages by a hash, as they are in life.
std::vector<std::uint32_t> make_pages(std::uint64_t pages, std::uint64_t count, std::uint64_t seed) {
  SeededRng rng(seed);
  const double log_pages = std::log(static_cast<double>(pages) + 1);
  std::vector<std::uint32_t> accesses(count);
  for (std::uint32_t& page : accesses) {
    const auto rank = static_cast<std::uint64_t>(std::exp(rng.fraction() * log_pages)) - 1;
    page = static_cast<std::uint32_t>(eviction::reduce(static_cast<std::uint32_t>(eviction::mix(rank) >> 32), pages));
  }
  return accesses;
}

std::unique_ptr<EvictionPolicy> full_policy(std::string_view eviction, const Options& options) {
  auto policy = make_policy(eviction, {.expected_slots = options.entries}).value();
  for (std::uint32_t slot = 0; slot < options.entries; ++slot) policy->inserted(slot, slot, page_bytes);
  return policy;
}

std::vector<Access> record(std::string_view eviction, const Options& options, const std::vector<std::uint32_t>& pages) {
  const auto policy = full_policy(eviction, options);
  const EvictionPolicy::Evictable any = [](EvictionSlot) { return true; };
  std::vector<std::uint32_t> slot_of(options.entries * pages_per_entry, absent);
  std::vector<std::uint32_t> page_of(options.entries);
  for (std::uint32_t slot = 0; slot < options.entries; ++slot) slot_of[slot] = page_of[slot] = slot;
  std::vector<Access> accesses;
  accesses.reserve(pages.size());
  for (const std::uint32_t page : pages) {
    std::uint32_t slot = slot_of[page];
    if (slot != absent) {
      policy->touched(slot);
      accesses.push_back({slot, page});
      continue;
    }
    slot = policy->victim(any).value();
    policy->removed(slot, Removal::evicted);
    slot_of[page_of[slot]] = absent;
    page_of[slot] = page;
    slot_of[page] = slot;
    policy->inserted(slot, page, page_bytes);
    accesses.push_back({slot | miss_bit, page});
  }
  return accesses;
}

struct Figure {
  std::string name;
  double median = 0;  // million decisions per second
  double low = 0;
  double high = 0;
  double hit_ratio = 0;
  double bytes_per_entry = 0;
};

void replay(EvictionPolicy& policy, AdmissionPolicy& admission, const Access* begin, const Access* end) {
  const EvictionPolicy::Evictable any = [](EvictionSlot) { return true; };
  std::uint64_t now = 0;
  std::uint64_t kept = 0;
  for (const Access* access = begin; access != end; ++access) {
    if ((access->slot & miss_bit) == 0) {
      policy.touched(access->slot);
      continue;
    }
    const Admission answer = admission.decide(access->page, std::chrono::microseconds(now += 10));
    const std::uint32_t slot = policy.victim(any).value();
    if (slot != (access->slot & ~miss_bit)) std::abort();  // not the run that was recorded
    policy.removed(slot, Removal::evicted);
    // Inserted whatever the answer: the most work that a miss can be.
    policy.inserted(slot, access->page, page_bytes);
    kept += answer == Admission::keep;
  }
  asm volatile("" : : "r"(kept));
}

Figure summarise(std::string name, std::vector<double> rates) {
  std::sort(rates.begin(), rates.end());
  return {.name = std::move(name), .median = rates[rates.size() / 2], .low = rates.front(), .high = rates.back()};
}

Figure measure_class(std::string_view eviction, const Options& options, const std::vector<std::uint32_t>& pages) {
  const std::vector<Access> accesses = record(eviction, options, pages);
  const auto policy = full_policy(eviction, options);
  const auto admission = make_admission("second-read", {.remembered = options.entries}).value();
  // The first part warms the policy; the others are rounds.
  const Access* at = accesses.data();
  replay(*policy, *admission, at, at + options.accesses);
  std::vector<double> rates;
  for (int round = 1; round <= options.rounds; ++round) {
    at += options.accesses;
    const double start = cpu_seconds();
    replay(*policy, *admission, at, at + options.accesses);
    rates.push_back(static_cast<double>(options.accesses) / (cpu_seconds() - start) / 1e6);
  }
  Figure result = summarise(std::string(eviction) + " + second-read", std::move(rates));
  std::uint64_t hits = 0;
  for (const Access& access : accesses) hits += (access.slot & miss_bit) == 0;
  result.hit_ratio = static_cast<double>(hits) / static_cast<double>(accesses.size());
  result.bytes_per_entry = static_cast<double>(policy->memory_bytes()) / static_cast<double>(options.entries);
  return result;
}

Figure measure_shards(const Options& options, const std::vector<std::uint32_t>& pages) {
  eviction::Shards shards(1U << 15);
  std::vector<double> rates;
  for (int round = 0; round <= options.rounds; ++round) {
    const double start = cpu_seconds();
    for (std::uint64_t i = 0; i < options.accesses; ++i) shards.access(pages[static_cast<std::uint64_t>(round) * options.accesses + i], page_bytes);
    // Round 0 fills the sample.
    if (round > 0) rates.push_back(static_cast<double>(options.accesses) / (cpu_seconds() - start) / 1e6);
  }
  return summarise("miss-ratio curve (SHARDS, 32,768 samples)", std::move(rates));
}

std::string to_markdown(const std::vector<Figure>& results, const Options& options) {
  std::string text = "Decisions of eviction and admission, one core (CPU time), " + std::to_string(options.entries) + " entries, " +
                     std::to_string(options.accesses) + " accesses a round (Zipf 1.0 over four times as many pages), median of " +
                     std::to_string(options.rounds) + " rounds.\n\n" +
                     "| class | million a second | spread | ns each | hit ratio | bytes per entry |\n|---|---:|---:|---:|---:|---:|\n";
  for (const Figure& result : results) {
    char line[256];
    std::snprintf(line, sizeof line, "| %s | %.2f | %.2f to %.2f | %.0f | %s | %s |\n", result.name.c_str(), result.median, result.low,
                  result.high, 1000 / result.median, result.hit_ratio > 0 ? std::to_string(result.hit_ratio).substr(0, 5).c_str() : "",
                  result.bytes_per_entry > 0 ? std::to_string(result.bytes_per_entry).substr(0, 4).c_str() : "");
    text += line;
  }
  return text;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--entries") options.entries = std::strtoull(argv[i + 1], nullptr, 10);
    if (name == "--accesses") options.accesses = std::strtoull(argv[i + 1], nullptr, 10);
    if (name == "--rounds") options.rounds = std::max(1, std::atoi(argv[i + 1]));
    if (name == "--only") options.only = argv[i + 1];
    if (name == "--markdown") options.markdown = argv[i + 1];
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  const auto pages = make_pages(options.entries * pages_per_entry, options.accesses * static_cast<std::uint64_t>(options.rounds + 1), 42);
  std::vector<Figure> results;
  for (const std::string_view eviction : eviction_policy_names) if (options.only.empty() || options.only == eviction) results.push_back(measure_class(eviction, options, pages));
  results.push_back(measure_shards(options, pages));
  const std::string table = to_markdown(results, options);
  std::fputs(table.c_str(), stdout);
  if (!options.markdown.empty()) std::ofstream(options.markdown) << table;
  return 0;
}
