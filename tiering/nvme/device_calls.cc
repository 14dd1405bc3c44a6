#include "tiering/nvme/device_calls.h"

#include <utility>

namespace hearth {

DeviceCalls::InFlight::InFlight(DeviceCalls& calls_in, DeviceCall kind_in, std::uint64_t bytes_in)
    : calls(calls_in), kind(kind_in), bytes(bytes_in), with_bytes(calls_in.in_flight_bytes_ + bytes_in), since(calls_in.clock_.now()),
      older(calls_in.newest_) {
  (older == nullptr ? calls.oldest_ : older->newer) = this;
  calls.newest_ = this;
  ++calls.in_flight_;
  calls.in_flight_bytes_ += bytes;
}

DeviceCalls::InFlight::~InFlight() {
  (older == nullptr ? calls.oldest_ : older->newer) = newer;
  (newer == nullptr ? calls.newest_ : newer->older) = older;
  --calls.in_flight_;
  calls.in_flight_bytes_ -= bytes;
}

void DeviceCalls::InFlight::ended(Code code) {
  const TimePoint now = calls.clock_.now();
  calls.health_.answered(kind, code, bytes, with_bytes, now - since, now);
}

void DeviceCalls::note(Code code) {
  if (code != Code::ok) health_.answered(DeviceCall::read, code, 0, 0, Duration::zero(), clock_.now());
}

Task<> DeviceCalls::read(DiskFileId file, std::uint64_t offset, std::span<std::byte> into) {
  InFlight call(*this, DeviceCall::read, into.size());
  Status status = co_await disk_.read(file, offset, into);
  call.ended(status.code());
  co_return status;
}

Task<> DeviceCalls::write(DiskFileId file, std::uint64_t offset, std::span<const std::byte> bytes) {
  InFlight call(*this, DeviceCall::write, bytes.size());
  Status status = co_await disk_.write(file, offset, bytes);
  call.ended(status.code());
  co_return status;
}

Task<DiskFileId> DeviceCalls::open(std::string name, DiskOpen how, DiskCaching caching) {
  auto result = co_await disk_.open(std::move(name), how, caching);
  note(result.code());
  co_return result;
}

Task<> DeviceCalls::close(DiskFileId file) {
  Status status = co_await disk_.close(file);
  note(status.code());
  co_return status;
}

Task<> DeviceCalls::sync(DiskFileId file) {
  Status status = co_await disk_.sync(file);
  note(status.code());
  co_return status;
}

Task<> DeviceCalls::allocate(DiskFileId file, std::uint64_t length_bytes) {
  Status status = co_await disk_.allocate(file, length_bytes);
  note(status.code());
  co_return status;
}

Task<> DeviceCalls::truncate(DiskFileId file, std::uint64_t length_bytes) {
  Status status = co_await disk_.truncate(file, length_bytes);
  note(status.code());
  co_return status;
}

Task<> DeviceCalls::punch(DiskFileId file, std::uint64_t offset, std::uint64_t length_bytes) {
  Status status = co_await disk_.punch(file, offset, length_bytes);
  note(status.code());
  co_return status;
}

Task<std::uint64_t> DeviceCalls::length_bytes(DiskFileId file) {
  auto result = co_await disk_.length_bytes(file);
  note(result.code());
  co_return result;
}

Task<> DeviceCalls::remove(std::string name) {
  Status status = co_await disk_.remove(std::move(name));
  note(status.code());
  co_return status;
}

Task<std::vector<DiskEntry>> DeviceCalls::list(std::string after, std::size_t limit) {
  auto result = co_await disk_.list(std::move(after), limit);
  note(result.code());
  co_return result;
}

}  // namespace hearth
