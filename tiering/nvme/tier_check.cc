// Self check: index, files and budget say the same.
#include "tiering/nvme/disk_tier_impl.h"

#include "tiering/nvme/metrics.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace hearth {
namespace {

constexpr std::size_t files_per_list = 512;
constexpr std::size_t problems_told = 100;

void problem(DiskTierReport* report, std::string sentence) {
  if (report->problems.size() < problems_told) report->problems.push_back(std::move(sentence));
}

}  // namespace

Task<DiskTierReport> DiskTierImpl::check() {
  DiskTierReport report;
  check_map(&report);
  CO_CHECK_OK(co_await check_files(&report));
  co_return report;
}

void DiskTierImpl::check_map(DiskTierReport* report) const {
  TierBudget counted(budget_.capacity());
  std::uint64_t resident = 0;
  std::uint64_t verified = 0;
  std::uint64_t pinned = 0;
  for (PageSlot slot = 0; slot < pages_.slot_end(); ++slot) {
    const PageEntry& page = pages_.page(slot);
    if (page.state() == PageState::free) continue;
    const std::string what = "page " + std::to_string(page.page) + " of block " + pages_.block(page.block).id.to_hex();
    if (!pages_.block_in_use(page.block)) problem(report, what + " is of a block that is not there");
    if (pages_.find(page.block, page.page) != slot) problem(report, what + " is not found by its name");
    if (page.state() == PageState::resident) counted.resident += charge_of(slot);
    if (page.state() == PageState::filling) counted.filling += charge_of(slot);
    if (page.state() == PageState::leaving) counted.leaving += charge_of(slot);
    const BlockEntry& block = pages_.block(page.block);
    resident += page.state() == PageState::resident;
    verified += page.verified;
    if (page.state() == PageState::resident && block.pinned) pinned += charge_of(slot);
    const bool wanted = page.state() == PageState::resident && block.leases == 0 && !block.pinned && !block.doomed;
    if (wanted != (page.in_policy != 0)) problem(report, what + (wanted ? " is unknown to" : " should not be in") + " the eviction policy");
  }
  for (const auto& [block, load] : whole_) counted.filling += load.bytes;
  for (const auto& [block, bytes] : allocated_unused_) counted.leaving += bytes;
  const auto compare = [&](const char* column, std::uint64_t billed, std::uint64_t found) {
    if (billed != found) problem(report, std::string(column) + " bytes: " + std::to_string(billed) + " billed, " + std::to_string(found) + " found");
  };
  compare("resident", budget_.resident, counted.resident);
  compare("filling", budget_.filling, counted.filling);
  compare("leaving", budget_.leaving, counted.leaving);
  compare("pinned", pinned_bytes_, pinned);
  if (resident != resident_pages_ || verified != verified_pages_) problem(report, "resident or verified pages are miscounted");
  std::uint64_t leased = 0;
  for (BlockSlot at = 0; at < pages_.block_end(); ++at) {
    if (pages_.block_in_use(at) && pages_.block(at).leases > 0 && !pages_.block(at).doomed) leased += pages_.block(at).shape().charge();
  }
  compare("leased", leased_bytes_, leased);
  if (budget_.total() > budget_.capacity()) problem(report, "more bytes are billed than the capacity");
}

Task<> DiskTierImpl::check_files(DiskTierReport* report) {
  // What a file system may add of its own to each file: extent blocks, and rounding to its block size.
  const std::uint64_t slack = device_.disk().traits().engine == "simulated" ? 0 : 128U << 10;
  std::unordered_set<BlockId, BlockIdHash> seen;
  std::string after;
  while (true) {
    CO_TRY(listed, co_await device_.list(after, files_per_list));
    if (listed.empty()) break;
    after = listed.back().name;
    for (const DiskEntry& file : listed) {
      if (is_own_file(file.name)) continue;
      const std::optional<BlockId> id = block_of_file_name(file.name);
      if (!id) {
        ++report->foreign_files;
        continue;
      }
      ++report->files;
      report->allocated_bytes += file.allocated_bytes;
      const std::optional<BlockSlot> at = pages_.find_block(*id);
      if (!at) {
        problem(report, "file " + file.name + " is of no block: " + std::to_string(file.allocated_bytes) + " bytes leaked");
        continue;
      }
      seen.insert(*id);
      const BlockShape shape = pages_.block(*at).shape();
      std::uint64_t expected = whole_.contains(*at) ? whole_.at(*at).bytes : 0;
      std::uint64_t end = 0;
      pages_.for_each_page(*at, [&](PageSlot slot) {
        const std::uint32_t page = pages_.page(slot).page;
        expected += shape.page_charge(page);
        if (pages_.page(slot).state() != PageState::resident) return;
        ++report->pages;
        end = shape.page_offset(page) + shape.page_length(page);
      });
      report->expected_bytes += expected;
      if (file.length_bytes < end) problem(report, "file " + file.name + " ends before its last resident page");
      if (file.allocated_bytes > expected + slack) {
        problem(report, "file " + file.name + " holds " + std::to_string(file.allocated_bytes) + " bytes, its pages are " + std::to_string(expected));
      }
      if (file.allocated_bytes + slack < expected) {
        problem(report, "file " + file.name + " holds " + std::to_string(file.allocated_bytes) + " bytes, less than its pages' " + std::to_string(expected));
      }
    }
  }
  for (BlockSlot at = 0; at < pages_.block_end(); ++at) {
    const BlockEntry& block = pages_.block(at);
    if (pages_.block_in_use(at) && block.resident_pages > 0 && !seen.contains(block.id)) {
      problem(report, "block " + block.id.to_hex() + " has " + std::to_string(block.resident_pages) + " resident pages and no file");
    }
  }
  co_return ok();
}

void DiskTierImpl::publish_metrics() {
  const std::vector<std::string> tier{options_.name};
  metrics().gauge(nvme_capacity_bytes, tier).set(static_cast<std::int64_t>(budget_.limit()));
  metrics().gauge(nvme_resident_bytes, tier).set(static_cast<std::int64_t>(budget_.resident));
  metrics().gauge(nvme_charged_bytes, tier).set(static_cast<std::int64_t>(budget_.total()));
  metrics().gauge(nvme_pages, tier).set(static_cast<std::int64_t>(pages_.page_count()));
  metrics().gauge(nvme_device_state, tier).set(static_cast<std::int64_t>(device_.health().state()));
  const auto raise = [&](const CounterDescriptor& descriptor, std::uint64_t total, std::uint64_t& told) {
    if (total > told) metrics().counter(descriptor, tier).add(total - told);
    told = total;
  };
  raise(nvme_reads_total, totals_.reads, told_.reads);
  raise(nvme_read_bytes_total, totals_.read_bytes, told_.read_bytes);
  raise(nvme_written_bytes_total, totals_.written_bytes, told_.written_bytes);
  raise(nvme_evicted_bytes_total, totals_.evicted_bytes, told_.evicted_bytes);
  raise(nvme_foreground_evictions_total, totals_.foreground_evictions, told_.foreground_evictions);
  raise(nvme_corrupt_pages_total, totals_.corrupt_pages, told_.corrupt_pages);
  raise(nvme_device_errors_total, totals_.read_errors + totals_.write_errors, told_.read_errors);
  raise(nvme_scrubbed_pages_total, totals_.scrubbed_pages, told_.scrubbed_pages);
}

}  // namespace hearth
