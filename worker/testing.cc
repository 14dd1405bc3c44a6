#include "worker/testing.h"

#include "understore/oracle.h"

#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <utility>

namespace hearth::worker::testing {

bool Loop::work_until(const std::function<bool()>& reached, std::chrono::seconds patience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!reached()) {
    if (std::chrono::steady_clock::now() > until) return false;
    context_.restart();
    context_.run_one_for(std::chrono::milliseconds(100));
  }
  return true;
}

namespace {
std::uint64_t seed_of(const std::string& path, const std::string& version) { return oracle_seed(path + '\0' + version); }
}  // namespace

bool is_oracle(std::span<const std::byte> bytes, const std::string& path, const std::string& version,
               std::uint64_t offset) {
  return !oracle_mismatch(bytes, seed_of(path, version), 0, offset).has_value();
}

void OracleStore::put(const std::string& path, std::string version, std::uint64_t length) {
  files_[path] = File{std::move(version), length};
}

void OracleStore::open_gate() {
  const std::shared_ptr<Event> gate = std::exchange(gate_, nullptr);
  if (gate) gate->set();
}

int OracleStore::reads_at(std::uint64_t offset) const {
  const auto found = reads_at_.find(offset);
  return found == reads_at_.end() ? 0 : found->second;
}

Status OracleStore::check(const std::string& path, const std::string& version) const {
  const auto file = files_.find(path);
  if (file == files_.end()) return Error(Code::not_found, path + " does not exist");
  if (file->second.version != version) return Error(Code::stale, path + " changed");
  return ok();
}

Task<> OracleStore::read(std::string path, std::string version, std::uint64_t offset, std::span<std::byte> into,
                         Deadline deadline) {
  ReadOptions none;
  Status done = co_await read_with(std::move(path), std::move(version), offset, into, none, deadline);
  co_return done;
}

Task<> OracleStore::read_with(std::string path, std::string version, std::uint64_t offset, std::span<std::byte> into,
                              ReadOptions options, Deadline deadline) {
  static_cast<void>(deadline);
  reads_ += 1;
  reads_at_[offset] += 1;
  in_flight_ += 1;
  most_in_flight_ = std::max(most_in_flight_, in_flight_);
  Status done = co_await read_gated(std::move(path), std::move(version), offset, into, std::move(options));
  in_flight_ -= 1;
  co_return done;
}

Task<> OracleStore::read_gated(std::string path, std::string version, std::uint64_t offset, std::span<std::byte> into,
                               ReadOptions options) {
  CO_CHECK_OK(check(path, version));
  const std::uint64_t seed = seed_of(path, version);
  const std::size_t half = into.size() / 2;
  oracle_fill(into.first(half), seed, 0, offset);
  if (options.progress) options.progress(half);
  const std::shared_ptr<Event> gate = gate_;
  if (gate) {
    const asio::disable_cancellation none;
    if (stubborn_) co_await asio::this_coro::reset_cancellation_state(none);
    CO_CHECK_OK(co_await Event::wait(gate));
  }
  if (fail_times_ > 0) {
    fail_times_ -= 1;
    co_return Error(fail_code_, "a fault that the test injected");
  }
  CO_CHECK_OK(check(path, version));
  oracle_fill(into.subspan(half), seed, 0, offset + half);
  co_return ok();
}

namespace {
Error not_here() { return Error(Code::unsupported, "the worker must not call this"); }
}  // namespace

Task<ObjectInfo> OracleStore::stat(std::string, Deadline) { co_return not_here(); }
Task<std::unique_ptr<Listing>> OracleStore::list(std::string, Deadline) { co_return not_here(); }
Task<ObjectInfo> OracleStore::write(std::string, std::string, Deadline) { co_return not_here(); }
Task<> OracleStore::remove(std::string, Deadline) { co_return not_here(); }
Task<> OracleStore::rename(std::string, std::string, Deadline) { co_return not_here(); }
Task<ObjectInfo> OracleStore::make_directory(std::string, std::uint32_t, Deadline) { co_return not_here(); }

BlockRef block_of(const std::string& store_uri, const std::string& path, const std::string& version,
                  std::uint64_t length) {
  return cut_into_blocks(store_uri, test_attachment, path, version, length, default_block_size_bytes, test_page).front();
}

}  // namespace hearth::worker::testing
