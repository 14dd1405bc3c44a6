// Writing: room first, then the bytes, then the page is there.
#include "tiering/nvme/disk_tier_impl.h"

#include "common/crc32c.h"
#include "common/log.h"
#include "tiering/nvme/sector_sums.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

namespace hearth {

Task<> DiskTierImpl::write(BlockRef block, PageIndex page, std::span<const std::byte> bytes, std::vector<std::uint32_t> chunk_checksums,
                           Deadline deadline) {
  CO_CHECK_OK(validate(block, page));
  if (bytes.size() != block.page_length_bytes(page)) co_return error(Code::invalid_argument, "a page is written whole");
  DiskBuffer copy = device_.buffer(std::uint64_t{sector_count(bytes.size())} * sector_bytes);
  std::memcpy(copy.bytes().data(), bytes.data(), bytes.size());
  Status written = co_await write(std::move(block), page, std::move(copy), std::move(chunk_checksums), deadline);
  co_return written;
}

Task<> DiskTierImpl::write(BlockRef block, PageIndex page, DiskBuffer bytes, std::vector<std::uint32_t> chunk_checksums, Deadline deadline) {
  Status usable_now = usable();
  if (usable_now && !device_.health().writable()) {
    usable_now = error(Code::unavailable, "its device is " + std::string(name(device_.health().state())) + " (" + device_.health().reason() + ") and takes no writes now");
  }
  if (!usable_now) {
    ++totals_.refused;
    co_return usable_now;
  }
  CO_CHECK_OK(validate(block, page));
  const std::uint32_t length = block.page_length_bytes(page);
  const std::uint64_t padded = std::uint64_t{sector_count(length)} * sector_bytes;
  const bool aligned = reinterpret_cast<std::uintptr_t>(bytes.bytes().data()) % disk_alignment_bytes == 0;
  if (bytes.bytes().size() < length) co_return error(Code::invalid_argument, "a page is written whole");
  if (!aligned || bytes.bytes().size() < padded) {
    DiskBuffer copy = device_.buffer(padded);
    std::memcpy(copy.bytes().data(), bytes.bytes().data(), length);
    bytes = std::move(copy);
  }
  Status written = co_await calls_.run(write_now(std::move(block), page, std::move(bytes), std::move(chunk_checksums), deadline), deadline);
  co_return written;
}

// The number of a new page, its bytes charged as filling.
Task<PageSlot> DiskTierImpl::reserve_page(BlockShape shape, PageIndex page, Deadline deadline) {
  const std::uint32_t charge = shape.page_charge(page.value);
  while (true) {
    std::optional<BlockSlot> at = pages_.find_block(shape.id);
    if (at) {
      const BlockEntry& block = pages_.block(*at);
      if (block.doomed || block.cleaning) co_return error(Code::busy, "block " + shape.id.to_hex() + " is being cleaned up; write it later");
      if (block.shape() != shape) {
        doom(*at, Removal::dropped);  // cut differently since: these bytes will not be asked for again
        co_return error(Code::busy, "block " + shape.id.to_hex() + " was kept in another shape, which is being removed; write it later");
      }
      const std::optional<PageSlot> slot = pages_.find(*at, page.value);
      if (slot && pages_.page(*slot).state() == PageState::resident) {
        co_return error(Code::already_exists, "page " + std::to_string(page.value) + " of block " + shape.id.to_hex() + " is here already");
      }
      if (slot) co_return error(Code::busy, "page " + std::to_string(page.value) + " of block " + shape.id.to_hex() + " is on its way in or out");
    }
    const auto reserved = at ? whole_.find(*at) : whole_.end();
    const bool from_reserved = reserved != whole_.end() && reserved->second.pages[page.value];
    if (from_reserved || budget_.fits(charge)) {
      if (!at) {
        at = pages_.add_block(shape);
        pages_.block(*at).pinned = pinned_.contains(shape.id);
      }
      if (from_reserved) {
        reserved->second.bytes -= charge;  // charged as filling since begin_whole()
        reserved->second.pages[page.value] = false;
      } else {
        budget_.charge(budget_.filling, charge);
      }
      co_return pages_.add(*at, page.value);
    }
    CO_CHECK_OK(co_await make_room(charge, deadline));
    CO_CHECK_OK(usable());
  }
}

// Evicts for `bytes` more and waits until something changed; the caller looks again.
Task<> DiskTierImpl::make_room(std::uint64_t bytes, Deadline deadline) {
  if (bytes > budget_.limit()) co_return error(Code::no_space, "its capacity is less than what is written");
  const std::uint64_t used = budget_.total() - (budget_.leaving - stuck_bytes_);
  const std::uint64_t wanted = used + bytes > budget_.limit() ? used + bytes - budget_.limit() : 0;
  const std::uint64_t evicted = wanted > 0 ? evict(wanted) : 0;
  if (budget_.fits(bytes)) co_return ok();  // a disk that answers at once
  std::uint64_t being_written = budget_.filling;  // and not merely reserved for a whole block
  for (const auto& [block, load] : whole_) being_written -= load.bytes;
  const bool more_comes = budget_.leaving != stuck_bytes_ || being_written != 0;
  // Evicted and given back by now, and not enough: nobody is left to wake the caller, who looks again for more to evict.
  if (!more_comes && evicted > 0) co_return ok();
  if (!more_comes) {
    co_return error(Code::no_space, "all that is left is pinned, leased or in use; free something or give it more capacity");
  }
  ++totals_.foreground_evictions;
  if (deadline.expired(clock_.now())) co_return error(Code::deadline_exceeded, "no room was made in time");
  Status changed = co_await room_.wait();
  co_return changed;
}

Task<> DiskTierImpl::write_now(BlockRef ref, PageIndex page, DiskBuffer bytes, std::vector<std::uint32_t> chunk_checksums, Deadline deadline) {
  const BlockShape shape = BlockShape::of(ref);
  const std::uint32_t length = shape.page_length(page.value);
  const std::span<std::byte> padded = bytes.bytes().first(std::size_t{sector_count(length)} * sector_bytes);
  std::vector<std::uint32_t> sums = compute_sector_sums(padded.first(length));
  if (!chunk_checksums.empty() && chunks_of_sector_sums(sums, length) != chunk_checksums) {
    co_return error(Code::corrupt, "the bytes of page " + std::to_string(page.value) + " of block " + shape.id.to_hex() +
                                       " do not match their checksums; nothing was written");
  }
  const std::uint32_t crc = fold_sector_sums(sums, length);
  CO_TRY(slot, co_await reserve_page(shape, page, deadline));
  FileUse file = files_.use(shape.id);
  Status status = co_await files_.ensure_open(file.shared(), DiskOpen::create_or_open);
  if (status) status = co_await store(file.shared(), shape, page.value, padded);
  file.reset();
  if (quiet_.has_waiters()) quiet_.notify_all();
  const BlockSlot at = pages_.page(slot).block;
  const bool freed = pages_.block(at).doomed != 0;
  if (status && !freed) {
    publish(slot, crc);
    ++totals_.writes;
    totals_.written_bytes += length;
    if (length > page_without_sums_bytes) sums_.put(slot, std::move(sums), SumsCache::Written::no);
    if (pages_.block(at).complete()) end_whole(shape.id);
    evict_to_watermark();
    room_changed();
    co_return ok();
  }
  // The bytes, or part of them, are in the file: billed until they are given back.
  pages_.set_state(slot, PageState::leaving);
  TierBudget::move(budget_.filling, budget_.leaving, charge_of(slot));
  if (status) co_return error(Code::busy, "block " + shape.id.to_hex() + " was freed while it was written");
  ++totals_.write_errors;
  if (!freed) {
    std::vector<PageSlot> slots{slot};
    const Status spawned = tasks_.spawn(give_back(at, slots), "undo_cache_write");
    if (!spawned) stuck_pages_[at].push_back(slot);
  }
  if (status.code() == Code::no_space) status = co_await out_of_space();
  room_changed();
  co_return status;
}

Task<> DiskTierImpl::store(std::shared_ptr<TierFile> file, BlockShape shape, std::uint32_t page, std::span<const std::byte> bytes) {
  const std::uint64_t offset = shape.page_offset(page);
  CO_CHECK_OK(co_await device_.write(*file->direct, offset, bytes));
  file->length_bytes = std::max(file->length_bytes, offset + bytes.size());
  co_return ok();
}

// The file system is full before the tier is: it shrinks to what there is. Without inodes, whole blocks have to go.
Task<> DiskTierImpl::out_of_space() {
  auto space = co_await device_.disk().space();
  if (!space) co_return error(Code::no_space, "its file system is full");
  if (space->free_inodes == 0) {
    const std::optional<EvictionSlot> coldest = policy_->victim([this](EvictionSlot slot) { return evictable(slot); });
    if (coldest) doom(pages_.page(*coldest).block, Removal::evicted);
    co_return error(Code::no_space, "its file system has no inodes left; the coldest block makes room for another");
  }
  const std::uint64_t available = space->free_bytes > options_.reserve_bytes ? space->free_bytes - options_.reserve_bytes : 0;
  const std::uint64_t held = budget_.total();
  // Less than is there: the last blocks of a full file system are slow to get and not ours alone.
  const std::uint64_t margin = std::min<std::uint64_t>(held / 64 + options_.max_page_bytes, held);
  budget_.set_limit(std::min(budget_.limit(), held - margin + (available > 2 * margin ? available - margin : 0)));
  log_warn("cache_device_full", {{"tier", options_.name}, {"free_bytes", space->free_bytes}, {"limit_bytes", budget_.limit()}});
  evict_to_watermark();
  co_return error(Code::no_space, "its file system is full; the tier shrinks and makes room");
}

Task<> DiskTierImpl::begin_whole(BlockRef block, Deadline deadline) {
  CO_CHECK_OK(usable());
  CO_CHECK_OK(validate(block, PageIndex{0}));
  if (!device_.health().writable()) co_return error(Code::unavailable, "its device takes no writes now");
  Status begun = co_await calls_.run(begin_whole_now(std::move(block), deadline), deadline);
  co_return begun;
}

Task<> DiskTierImpl::begin_whole_now(BlockRef ref, Deadline deadline) {
  const BlockShape shape = BlockShape::of(ref);
  BlockSlot block = 0;
  while (true) {
    const std::optional<BlockSlot> at = pages_.find_block(shape.id);
    // Pages on their way out would be allocated again without being billed.
    const bool unfit = at && (pages_.block(*at).doomed || pages_.block(*at).cleaning || pages_.block(*at).shape() != shape ||
                              whole_.contains(*at) || jobs_.contains(*at) || stuck_pages_.contains(*at));
    if (unfit) co_return error(Code::busy, "block " + shape.id.to_hex() + " is being loaded or cleaned up already");
    if (at && pages_.block(*at).complete()) co_return ok();
    WholeLoad load;
    load.pages.resize(shape.page_count());
    for (std::uint32_t page = 0; page < shape.page_count(); ++page) {
      load.pages[page] = !at || !pages_.find(*at, page);
      if (load.pages[page]) load.bytes += shape.page_charge(page);
    }
    const std::uint64_t missing = load.bytes;
    if (missing == 0) co_return ok();  // all of it is being written already
    if (budget_.fits(missing)) {
      block = at ? *at : pages_.add_block(shape);
      pages_.block(block).pinned = pinned_.contains(shape.id);
      budget_.charge(budget_.filling, missing);
      whole_[block] = std::move(load);
      break;
    }
    CO_CHECK_OK(co_await make_room(missing, deadline));
    CO_CHECK_OK(usable());
  }
  // Closed to writes until its file is ready: it must not become complete, be granted and then made longer under a client.
  const BlockJob job(jobs_, block, quiet_);
  pages_.block(block).cleaning = 1;
  FileUse file = files_.use(shape.id);
  Status status = co_await files_.ensure_open(file.shared(), DiskOpen::create_or_open);
  // Within the file's length: what is allocated behind its end can not be punched out again on every file system.
  const std::uint64_t padded = std::uint64_t{sector_count(shape.length_bytes)} * sector_bytes;
  if (status && file->length_bytes < padded) {
    status = co_await device_.truncate(*file->direct, padded);
    if (status) file->length_bytes = padded;
  }
  if (status) status = co_await device_.allocate(*file->direct, padded);
  if (status.code() == Code::unsupported) status = ok();  // it will lie in pieces
  file.reset();
  pages_.block(block).cleaning = 0;
  if (!status) end_whole(shape.id);
  if (!whole_.contains(block) && !pages_.block(block).doomed) start_trim(block);  // given up meanwhile
  co_return status;
}

void DiskTierImpl::end_whole(BlockId id) {
  const std::optional<BlockSlot> at = pages_.find_block(id);
  const auto reserved = at ? whole_.find(*at) : whole_.end();
  if (reserved == whole_.end()) return;
  const std::uint64_t unused = reserved->second.bytes;
  whole_.erase(reserved);
  BlockEntry& block = pages_.block(*at);
  // What was allocated and not written: billed until the file system has it back, by trim() or with the file.
  TierBudget::move(budget_.filling, budget_.leaving, unused);
  allocated_unused_[*at] += unused;
  if (!block.doomed) start_trim(*at);
}

}  // namespace hearth
