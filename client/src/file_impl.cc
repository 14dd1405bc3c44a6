#include "client/src/file_impl.h"

#include "client/src/client_impl.h"

#include <algorithm>
#include <cstring>

namespace hearth {

using client::Counters;
using client::GrantOf;
using client::MappedGrant;
using client::PackedPlaces;

namespace {

// Keeps the bytes of a grant that was pinned.
struct PinnedGrant {
  explicit PinnedGrant(std::shared_ptr<MappedGrant> pinned) : grant(std::move(pinned)) {}
  ~PinnedGrant() { grant->let_go(); }
  PinnedGrant(const PinnedGrant&) = delete;
  PinnedGrant& operator=(const PinnedGrant&) = delete;
  std::shared_ptr<MappedGrant> grant;  // shared with the cache and with files
};

}  // namespace

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

FileImpl::~FileImpl() {
  if (client_->usable()) readahead_->close();
}

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
    const BlockRef& ref = resolution_->blocks[index];
    const std::uint64_t in_block = offset + done - ref.start.value;
    const auto count = std::min<std::uint64_t>(into.size() - done, ref.length_bytes - in_block);
    const std::span<std::byte> part = into.subspan(done, count);
    const std::size_t copied = grant != nullptr ? copy_from(*grant, block, index, in_block, part) : copy_packed(index, in_block, part);
    done += copied;
    if (copied < count) break;
  }
  return done;
}

std::size_t FileImpl::copy_from(MappedGrant& grant, Block& block, std::size_t index, std::uint64_t block_offset,
                                std::span<std::byte> into) {
  MappedGrant* expected = &grant;
  if (!grant.pin()) {
    block.grant.compare_exchange_strong(expected, nullptr);
    return 0;
  }
  into = into.first(grant.readable(block_offset, into.size()));
  const auto wrong = grant.first_wrong(block_offset, into.size(), client_->options().verify);
  if (!wrong) {
    std::memcpy(into.data(), grant.bytes().data() + block_offset, into.size());
    grant.unpin();
    grant.touch();
    client_->counters().add(Counters::mapped_bytes, into.size());
    return into.size();
  }
  grant.unpin();
  found_corrupt(grant, index, *wrong);
  return 0;
}

std::size_t FileImpl::copy_packed(std::size_t index, std::uint64_t block_offset, std::span<std::byte> into) {
  const PackedPlaces::Found found = find_packed(index, block_offset, into.size());
  if (!found.segment) return 0;
  std::memcpy(into.data(), found.bytes.data(), into.size());
  found.segment->unpin();
  client_->counters().add(Counters::mapped_bytes, into.size());
  return into.size();
}

PackedPlaces::Found FileImpl::find_packed(std::size_t index, std::uint64_t block_offset, std::uint64_t length) {
  const BlockRef& block = resolution_->blocks[index];
  if (block.page_count() > 1 || !client_->options().short_circuit) return {};
  PackedPlaces::Found found = client_->packed().find(block.id, block_offset, length, client_->options().verify);
  if (found.wrong) {
    client_->counters().add(Counters::corrupt_chunks);
    client_->report_corrupt(shared_from_this(), index, *found.wrong, found.worker);
  }
  return found;
}

void FileImpl::found_corrupt(MappedGrant& grant, std::size_t index, std::uint64_t wrong) {
  client_->counters().add(Counters::corrupt_chunks);
  give_up(grant, index);
  client_->report_corrupt(shared_from_this(), index, wrong, grant.lease().worker);
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

bool FileImpl::is_in_filling(std::size_t index) const {
  MappedGrant* grant = blocks_[index].grant.load(std::memory_order_acquire);
  return grant != nullptr && !grant->complete();
}

std::shared_ptr<MappedGrant> FileImpl::grant_in_filling(std::size_t index) {
  return is_in_filling(index) ? held_grant(index) : nullptr;
}

std::shared_ptr<MappedGrant> FileImpl::held_grant(std::size_t index) {
  MappedGrant* grant = blocks_[index].grant.load(std::memory_order_acquire);
  if (grant == nullptr) return nullptr;
  std::lock_guard lock(grants_mutex_);
  const auto held = std::find_if(grants_.begin(), grants_.end(), [grant](const auto& one) { return one.get() == grant; });
  return held == grants_.end() ? nullptr : *held;
}

void FileImpl::give_up(MappedGrant& grant, std::size_t index) {
  MappedGrant* expected = &grant;
  blocks_[index].grant.compare_exchange_strong(expected, nullptr);
  client_->grants().drop(grant);
  ask_grant_again(index, client_->clock().now() + std::chrono::seconds(1));
}

bool FileImpl::use_cached_grant(std::size_t index, GrantOf what) {
  std::shared_ptr<MappedGrant> known = client_->grants().find(resolution_->blocks[index].id);
  if (!known || (what == GrantOf::complete_block && !known->complete())) return false;
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

void FileImpl::keep_filling(std::uint64_t offset, std::size_t length) {
  const std::uint64_t position = offset + length;
  if (length == 0 || position >= status().length_bytes || !is_in_filling(block_index(position))) return;
  if (!readahead_->saw_read(offset, length)) return;
  const std::uint64_t told = told_position_.load(std::memory_order_relaxed);
  if (position >= told && position - told < client_->options().readahead_bytes / 8) return;
  told_position_.store(position, std::memory_order_relaxed);
  client_->fill_ahead(shared_from_this(), position);
}

// On the caller's thread as far as it gets: mapped bytes, then what was read ahead; the rest on the io thread.
Result<std::size_t> FileImpl::pread(std::span<std::byte> into, std::uint64_t offset) {
  CHECK_OK(client_->usable());
  into = into.first(clip(into.size(), offset));
  std::size_t done = read_mapped(into, offset);
  while (done < into.size()) {
    const std::size_t index = block_index(offset + done);
    Status granted = ok();
    if (!has_grant(index) && !use_cached_grant(index) && wants_grant(index)) {
      granted = client_->wait(client_->obtain_grant(shared_from_this(), index, GrantOf::block_in_filling));
    }
    std::size_t more = granted ? read_mapped(into.subspan(done), offset + done) : 0;
    if (more == 0 && grant_in_filling(index)) {
      const Status filled = client_->wait(client_->fill(shared_from_this(), offset + done, into.size() - done));
      if (filled) more = read_mapped(into.subspan(done), offset + done);
    }
    if (more == 0) break;
    done += more;
  }
  keep_filling(offset, done);
  if (done == into.size()) return done;
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
    if (!has_grant(index) && !use_cached_grant(index) && wants_grant(index)) {
      const Status granted = co_await client_->obtain_grant(self, index, GrantOf::block_in_filling);
      if (!granted) break;
    }
    std::size_t more = read_mapped(into.subspan(done), offset + done);
    if (more == 0 && grant_in_filling(index)) {
      const Status filled = co_await client_->fill(self, offset + done, into.size() - done);
      if (filled) more = read_mapped(into.subspan(done), offset + done);
    }
    if (more == 0) break;
    done += more;
  }
  keep_filling(offset, done);
  if (done < into.size()) CO_CHECK_OK(co_await client_->read(self, into.subspan(done), offset + done));
  co_return into.size();
}

Result<ReadView> FileImpl::read_view(std::uint64_t offset, std::size_t length) {
  CHECK_OK(client_->usable());
  length = clip(length, offset);
  if (length == 0) return ReadView{};
  const std::size_t index = block_index(offset);
  const BlockRef& block = resolution_->blocks[index];
  const std::uint64_t at = offset - block.start.value;
  length = static_cast<std::size_t>(std::min<std::uint64_t>(length, block.length_bytes - at));
  if (!has_grant(index)) {
    if (PackedPlaces::Found found = find_packed(index, at, length); found.segment) {
      found.segment->keep_in_child();
      client_->counters().add(Counters::mapped_bytes, length);
      return ReadView{.bytes = found.bytes, .hold = std::make_shared<const PinnedGrant>(std::move(found.segment))};
    }
  }
  if (!has_grant(index) && !use_cached_grant(index) && wants_grant(index)) {
    CHECK_OK(client_->wait(client_->obtain_grant(shared_from_this(), index, GrantOf::block_in_filling)));
  }
  std::shared_ptr<MappedGrant> grant = held_grant(index);
  // A fill brings a few pages at a time.
  for (std::uint64_t had = 0; grant && grant->readable(at, length) < length;) {
    CHECK_OK(client_->wait(client_->fill(shared_from_this(), offset + had, length - had)));
    const std::uint64_t has = grant->readable(at, length);
    if (has <= had) break;
    had = has;
  }
  if (!grant || !grant->pin()) {
    return Error(Code::unsupported, path_ + ": these bytes are not in memory that is shared with this host; read them");
  }
  grant->keep_in_child();
  auto hold = std::make_shared<const PinnedGrant>(grant);
  const auto known = static_cast<std::size_t>(grant->readable(at, length));
  const auto wrong = grant->first_wrong(at, known, client_->options().verify);
  if (wrong) {
    found_corrupt(*grant, index, *wrong);
    return Error(Code::corrupt, "cached bytes of " + path_ + " are wrong and were dropped; read them instead");
  }
  if (known == 0) return Error(Code::unsupported, path_ + ": these bytes are not in memory that is shared with this host; read them");
  grant->touch();
  client_->counters().add(Counters::mapped_bytes, known);
  keep_filling(offset, known);
  return ReadView{.bytes = grant->bytes().subspan(at, known), .hold = std::move(hold)};
}

Result<MappedBlock> FileImpl::map() {
  CHECK_OK(client_->usable());
  if (blocks_.size() != 1) {
    return Error(Code::unsupported, path_ + (blocks_.empty() ? " is empty" : " has more than one block") + "; read it instead");
  }
  if (resolution_->blocks[0].length_bytes < client_->options().grant_min_bytes) {
    return Error(Code::unsupported, path_ + " is shorter than grant_min_bytes; read it instead");
  }
  if (!use_cached_grant(0, GrantOf::complete_block)) {
    CHECK_OK(client_->wait(client_->obtain_grant(shared_from_this(), 0, GrantOf::complete_block)));
  }
  std::shared_ptr<MappedGrant> grant = client_->grants().find(resolution_->blocks[0].id);
  if (!grant || !grant->complete() || !grant->pin()) return Error(Code::busy, path_ + " was just given back to the worker; try again");
  grant->keep_in_child();
  auto hold = std::make_shared<const PinnedGrant>(grant);
  const auto wrong = grant->first_wrong(0, grant->length_bytes(), client_->options().verify);
  if (wrong) {
    found_corrupt(*grant, 0, *wrong);
    return Error(Code::corrupt, "cached bytes of " + path_ + " are wrong and were dropped; read it instead");
  }
  return MappedBlock{.fd = grant->fd(), .fd_offset_bytes = grant->fd_offset_bytes(), .bytes = grant->bytes(), .hold = hold};
}

}  // namespace hearth
