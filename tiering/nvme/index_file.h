// The files that a tier keeps beside its blocks: identity, page index, sector checksums.
//
// Nothing here is synced page by page. A record or checksum that was lost or torn is noticed by its own checksum, or by that of
// the page it describes, and costs a miss.
//
// Threads: confined to the disk's executor.
// Owns:    the three files, open.
// Fails:   version_mismatch, corrupt (both copies of the identity are unreadable), invalid_argument (another cluster's directory),
//          and as the Disk.
#pragma once

#include "tiering/nvme/device_calls.h"
#include "tiering/nvme/index_format.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace hearth {

// What is to be written at a slot: its record, or that it is empty.
struct SlotRecord {
  std::uint32_t slot = 0;
  std::optional<IndexRecord> record;
};

struct SlotSums {
  std::uint32_t slot = 0;
  std::vector<std::uint32_t> sums;
};

class IndexFile {
 public:
  explicit IndexFile(DeviceCalls& device) : device_(device) {}

  // Opens what is there; makes it for a directory that has neither identity nor index. `wanted` names cluster and worker,
  // and the page size of a new directory; its uuid is the new directory's.
  enum class Unreadable : std::uint8_t { refuse, start_empty };
  Task<> open(DeviceIdentity wanted, Unreadable unreadable);
  bool is_open() const { return index_.has_value() && sums_.has_value(); }
  const DeviceIdentity& identity() const { return identity_; }
  // What open() had to put right; "" = nothing.
  const std::string& repaired() const { return repaired_; }

  struct LoadResult {
    std::uint64_t valid = 0;
    std::uint64_t damaged = 0;
  };
  // Every valid record, in the order of the slots. Large direct reads from the first to the last byte.
  Task<LoadResult> load(std::function<void(std::uint32_t slot, const IndexRecord&)> sink);

  // In the order of their slots, neighbours in one write. `fill` gives the record of a slot between two of them.
  Task<> write(std::vector<SlotRecord> records, std::function<std::optional<IndexRecord>(std::uint32_t slot)> fill);
  Task<> write_sums(std::vector<SlotSums> sums);
  // As many checksums as the page has sectors; `corrupt` where the file ends before them.
  Task<std::vector<std::uint32_t>> read_sums(std::uint32_t slot, std::uint32_t count);
  Task<> sync();
  // Reads the identity file afresh and compares it: is this directory still the one that was opened?
  Task<> check_identity();
  // Whether the last process ended in an orderly way; from now on this one has not.
  Task<bool> take_clean_mark();
  Task<> leave_clean_mark();
  Task<> close();

  std::uint64_t sums_entry_size() const;

 private:
  struct Header {
    std::optional<DeviceIdentity> identity;
    Status status = ok();   // why there is none
    bool missing = false;   // no such file, or an empty one
  };
  Task<Header> read_header(std::string name);
  // Whole and durable under its name, or not at all.
  Task<> replace(std::string name, DeviceIdentity identity);
  Task<> adopt(Header identity, Header index, DeviceIdentity wanted, Unreadable unreadable);
  Task<> start_empty(DeviceIdentity wanted);
  // In place, before the records.
  Task<> write_index_header();
  Task<> load_range(DiskFileId direct, std::uint64_t from, std::uint64_t to, std::function<void(std::uint32_t, const IndexRecord&)> sink,
                    LoadResult* result);

  // Set once, by open().
  DeviceCalls& device_;
  DeviceIdentity identity_;
  std::string repaired_;
  std::optional<DiskFileId> index_;
  std::optional<DiskFileId> sums_;
};

}  // namespace hearth
