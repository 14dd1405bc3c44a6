#include "client/src/store_reader.h"

namespace hearth::client {
namespace {

// A program that reads through a cache should not bring many threads along; these only serve while no worker does.
constexpr std::size_t pool_threads = 4;
constexpr std::size_t max_queued_jobs = 1024;

}  // namespace

StoreReader::StoreReader(Clock& clock) : clock_(clock) {}
StoreReader::~StoreReader() = default;

Result<std::shared_ptr<UnderStore>> StoreReader::open(const StoreName& name) {
  if (const auto known = stores_.find(name); known != stores_.end()) return known->second;
  if (!pool_) pool_ = std::make_unique<BlockingPool>(pool_threads, max_queued_jobs);
  if (!http_) http_ = make_http_client(HttpClientOptions(), clock_);
  const StoreContext context{.pool = *pool_, .clock = clock_, .http = http_.get()};
  auto opened = open_under_store(name.uri, name.options, context);
  if (!opened) {
    return Error(Code::unavailable, "the under-store " + name.uri + " can not be opened on this host: " + opened.error().message());
  }
  std::shared_ptr<UnderStore> store = std::move(opened).value();
  stores_.emplace(name, store);
  return store;
}

Task<> StoreReader::read(StoreName store, std::string path, std::string version, std::uint64_t offset,
                         std::span<std::byte> into, Deadline deadline) {
  CO_TRY(opened, open(store));
  CO_CHECK_OK(co_await opened->read(path, version, offset, into, deadline));
  co_return ok();
}

}  // namespace hearth::client
