// The Disk as the tier uses it: every call timed and its outcome told to the device's health.
//
// Threads: confined to the disk's executor.
// Owns:    the health. Calls made while the device is fenced still go through: who may call is the tier's decision.
// Fails:   as the Disk.
#pragma once

#include "tiering/disk/disk.h"
#include "tiering/nvme/device_health.h"

#include <string>

namespace hearth {

class DeviceCalls {
 public:
  DeviceCalls(Disk& disk, Clock& clock, const DeviceHealthOptions& options) : disk_(disk), clock_(clock), health_(options) {}

  Disk& disk() { return disk_; }
  const Clock& clock() const { return clock_; }
  DeviceHealth& health() { return health_; }
  const DeviceHealth& health() const { return health_; }
  DiskBuffer buffer(std::uint64_t length_bytes) { return disk_.buffer(length_bytes); }

  Task<> read(DiskFileId file, std::uint64_t offset, std::span<std::byte> into);
  Task<> write(DiskFileId file, std::uint64_t offset, std::span<const std::byte> bytes);
  // Changes and questions without a size: only their failures tell something.
  Task<DiskFileId> open(std::string name, DiskOpen how, DiskCaching caching);
  Task<> close(DiskFileId file);
  Task<> sync(DiskFileId file);
  Task<> allocate(DiskFileId file, std::uint64_t length_bytes);
  Task<> truncate(DiskFileId file, std::uint64_t length_bytes);
  Task<> punch(DiskFileId file, std::uint64_t offset, std::uint64_t length_bytes);
  Task<std::uint64_t> length_bytes(DiskFileId file);
  Task<> remove(std::string name);
  Task<std::vector<DiskEntry>> list(std::string after, std::size_t limit);

  // Since when the oldest read or write waits; TimePoint::max() when none is in flight.
  TimePoint oldest() const { return oldest_ == nullptr ? TimePoint::max() : oldest_->since; }
  std::size_t in_flight() const { return in_flight_; }
  std::uint64_t in_flight_bytes() const { return in_flight_bytes_; }

 private:
  // A call in flight, in the order of their beginnings; lives in the call's frame.
  struct InFlight {
    InFlight(DeviceCalls& calls, DeviceCall kind, std::uint64_t bytes);
    ~InFlight();
    InFlight(const InFlight&) = delete;
    InFlight& operator=(const InFlight&) = delete;
    void ended(Code code);

    DeviceCalls& calls;
    const DeviceCall kind;
    const std::uint64_t bytes;
    const std::uint64_t with_bytes;
    const TimePoint since;
    InFlight* older = nullptr;
    InFlight* newer = nullptr;
  };
  void note(Code code);

  // Set once.
  Disk& disk_;
  Clock& clock_;
  // The disk's executor only.
  DeviceHealth health_;
  InFlight* oldest_ = nullptr;
  InFlight* newest_ = nullptr;
  std::size_t in_flight_ = 0;
  std::uint64_t in_flight_bytes_ = 0;
};

}  // namespace hearth
