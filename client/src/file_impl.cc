#include "client/src/file_impl.h"

#include "client/src/client_impl.h"

#include <algorithm>
#include <cstring>

namespace hearth {

using client::Counters;
using client::MappedGrant;

FileImpl::FileImpl(std::shared_ptr<ClientImpl> client, std::string path, client::ResolutionPtr resolution)
    : client_(std::move(client)), path_(std::move(path)), resolution_(std::move(resolution)),
      readahead_(std::make_shared<client::Readahead>(client_->options().readahead_bytes)),
      blocks_(resolution_->blocks.size()) {
  const TimePoint now = client_->clock().now();
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    blocks_[i].holders.workers = resolution_->locations[i];
    blocks_[i].holders.heard = now;
  }
}

FileImpl::~FileImpl() { readahead_->close(); }

std::size_t FileImpl::clip(std::size_t wanted, std::uint64_t offset) const {
  const std::uint64_t length = status().length_bytes;
  return offset >= length ? 0 : static_cast<std::size_t>(std::min<std::uint64_t>(wanted, length - offset));
}

std::size_t FileImpl::read_mapped(std::span<std::byte> into, std::uint64_t offset) {
  std::size_t done = 0;
  while (done < into.size()) {
    const std::size_t index = block_index(offset + done);
    Block& block = blocks_[index];
    MappedGrant* grant = block.grant.load(std::memory_order_acquire);
    if (grant == nullptr) break;
    const BlockRef& ref = resolution_->blocks[index];
    const std::uint64_t in_block = offset + done - ref.start.value;
    const auto count = std::min<std::uint64_t>(into.size() - done, ref.length_bytes - in_block);
    if (!copy_from(*grant, block, index, in_block, into.subspan(done, count))) break;
    done += count;
  }
  return done;
}

bool FileImpl::copy_from(MappedGrant& grant, Block& block, std::size_t index, std::uint64_t block_offset,
                         std::span<std::byte> into) {
  MappedGrant* expected = &grant;
  if (!grant.pin()) {
    block.grant.compare_exchange_strong(expected, nullptr);
    return false;
  }
  const auto wrong = grant.first_wrong(block_offset, into.size(), client_->options().verify);
  if (!wrong) {
    std::memcpy(into.data(), grant.bytes().data() + block_offset, into.size());
    grant.unpin();
    grant.touch();
    client_->counters().add(Counters::mapped_bytes, into.size());
    return true;
  }
  grant.unpin();
  client_->counters().add(Counters::corrupt_chunks);
  block.grant.compare_exchange_strong(expected, nullptr);
  client_->grants().drop(grant);
  ask_grant_again(index, client_->clock().now() + std::chrono::seconds(1));
  client_->report_corrupt(shared_from_this(), index, *wrong, grant.lease().worker);
  return false;
}

bool FileImpl::wants_grant(std::size_t index) const {
  const ClientOptions& options = client_->options();
  if (!options.short_circuit || resolution_->blocks[index].length_bytes < options.grant_min_bytes) return false;
  if (!client_->has_local_worker()) return false;
  return client_->clock().now().time_since_epoch().count() >=
         blocks_[index].next_grant_try_ns.load(std::memory_order_relaxed);
}

void FileImpl::use_grant(std::size_t index, std::shared_ptr<MappedGrant> grant) {
  std::lock_guard lock(grants_mutex_);
  blocks_[index].grant.store(grant.get(), std::memory_order_release);
  if (std::find(grants_.begin(), grants_.end(), grant) == grants_.end()) grants_.push_back(std::move(grant));
}

bool FileImpl::use_cached_grant(std::size_t index) {
  std::shared_ptr<MappedGrant> known = client_->grants().find(resolution_->blocks[index].id);
  if (!known) return false;
  use_grant(index, std::move(known));
  return true;
}

void FileImpl::ask_grant_again(std::size_t index, TimePoint when) {
  blocks_[index].next_grant_try_ns.store(when.time_since_epoch().count(), std::memory_order_relaxed);
}

void FileImpl::grant_may_be_possible(std::size_t index, TimePoint when) {
  auto& next = blocks_[index].next_grant_try_ns;
  next.store(std::min<std::int64_t>(next.load(std::memory_order_relaxed), when.time_since_epoch().count()),
             std::memory_order_relaxed);
}

// On the caller's thread as far as it gets: mapped bytes, then what was read ahead; the rest on the io thread.
Result<std::size_t> FileImpl::pread(std::span<std::byte> into, std::uint64_t offset) {
  CHECK_OK(client_->usable());
  into = into.first(clip(into.size(), offset));
  std::size_t done = read_mapped(into, offset);
  if (done == into.size()) return done;
  const std::size_t index = block_index(offset + done);
  if (use_cached_grant(index)) done += read_mapped(into.subspan(done), offset + done);
  if (done == into.size()) return done;
  if (const std::size_t next = block_index(offset + done); wants_grant(next) && !has_grant(next)) {
    const Status granted = client_->wait(client_->obtain_grant(shared_from_this(), next));
    if (granted) done += read_mapped(into.subspan(done), offset + done);
  }
  const std::size_t ahead = readahead_->take(into.subspan(done), offset + done);
  if (ahead != 0 && readahead_->saw_read(offset + done, ahead)) client_->read_ahead(shared_from_this(), offset + done + ahead);
  done += ahead;
  if (done == into.size()) return done;
  CHECK_OK(client_->wait(client_->read(shared_from_this(), into.subspan(done), offset + done)));
  return into.size();
}

Task<std::size_t> FileImpl::pread_task(std::span<std::byte> into, std::uint64_t offset) {
  const auto self = shared_from_this();
  into = into.first(clip(into.size(), offset));
  std::size_t done = read_mapped(into, offset);
  while (done < into.size()) {
    const std::size_t index = block_index(offset + done);
    if (!use_cached_grant(index) && wants_grant(index)) {
      const Status granted = co_await client_->obtain_grant(self, index);
      if (!granted) break;
    }
    const std::size_t more = read_mapped(into.subspan(done), offset + done);
    if (more == 0) break;
    done += more;
  }
  if (done < into.size()) CO_CHECK_OK(co_await client_->read(self, into.subspan(done), offset + done));
  co_return into.size();
}

Result<MappedBlock> FileImpl::map() {
  CHECK_OK(client_->usable());
  if (blocks_.size() != 1) {
    return Error(Code::unsupported, path_ + (blocks_.empty() ? " is empty" : " has more than one block") + "; read it instead");
  }
  if (resolution_->blocks[0].length_bytes < client_->options().grant_min_bytes) {
    return Error(Code::unsupported, path_ + " is shorter than grant_min_bytes; read it instead");
  }
  if (!use_cached_grant(0)) CHECK_OK(client_->wait(client_->obtain_grant(shared_from_this(), 0)));
  std::shared_ptr<MappedGrant> grant = client_->grants().find(resolution_->blocks[0].id);
  if (!grant || !grant->pin()) return Error(Code::busy, path_ + " was just given back to the worker; try again");
  struct Hold {
    explicit Hold(std::shared_ptr<MappedGrant> pinned) : grant(std::move(pinned)) {}
    ~Hold() { grant->unpin(); }
    std::shared_ptr<MappedGrant> grant;  // shared with the cache and with files
  };
  auto hold = std::make_shared<const Hold>(grant);
  const auto wrong = grant->first_wrong(0, grant->length_bytes(), client_->options().verify);
  if (wrong) {
    client_->counters().add(Counters::corrupt_chunks);
    client_->grants().drop(*grant);
    client_->report_corrupt(shared_from_this(), 0, *wrong, grant->lease().worker);
    return Error(Code::corrupt, "cached bytes of " + path_ + " are wrong and were dropped; read it instead");
  }
  return MappedBlock{.fd = grant->fd(), .fd_offset_bytes = grant->fd_offset_bytes(), .bytes = grant->bytes(), .hold = hold};
}

}  // namespace hearth
