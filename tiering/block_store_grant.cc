// Descriptors in other hands: what is granted, and what a lease changes.
#include "tiering/block_store_impl.h"

#include <cassert>
#include <string>

namespace hearth {

Status BlockStoreImpl::may_be_granted(const BlockRef& ref, const Layout& layout) const {
  const std::uint64_t cost = layout.block_charge_bytes();
  if (static_cast<double>(cost) > options_.grant_max_fraction * static_cast<double>(options_.capacity_bytes)) {
    return Error(Code::unsupported, "block " + ref.id.to_hex() + " costs " + std::to_string(cost) +
                                        " bytes, more than grant_max_fraction of the tier; read it through the worker");
  }
  if (layout.length_bytes < options_.private_below_bytes && layout.page_count() == 1) {
    return Error(Code::unsupported, "block " + ref.id.to_hex() + " of " + std::to_string(layout.length_bytes) +
                                        " bytes is too short to be granted; read it through the worker");
  }
  return ok();
}

Result<BlockGrant> BlockStoreImpl::grant(const BlockRef& ref) {
  const std::shared_ptr<Block> block = block_of(ref.id);
  if (block == nullptr || !block->complete()) {
    return Error(Code::not_found, "block " + ref.id.to_hex() + " is not fully resident; read it through the worker");
  }
  if (block->packed()) {
    return Error(Code::unsupported, "block " + ref.id.to_hex() + " is packed with others; read it through its segment");
  }
  CHECK_OK(may_be_granted(ref, block->layout));
  CHECK_OK(block->memory->seal());
  TRY(granted, lease(block));
  for (const auto& page : block->pages) {
    granted.chunk_checksums.insert(granted.chunk_checksums.end(), page->checksums.begin(), page->checksums.end());
  }
  return granted;
}

Result<BlockGrant> BlockStoreImpl::grant_in_filling(const BlockRef& ref) {
  CHECK_OK(validate(ref, PageIndex{0}));
  std::shared_ptr<Block> block = block_of(ref.id);
  if (block != nullptr && block->complete()) return grant(ref);
  const Layout layout = layout_of(ref);
  CHECK_OK(may_be_granted(ref, layout));
  if (block != nullptr) CHECK_OK(same_shape(*block, ref));
  // It may lie in recycled memory, which shows another file's bytes until it is filled. Nor is there much to gain.
  if (layout.unit_count() == 1) {
    return Error(Code::unsupported, "block " + ref.id.to_hex() + " is filled at one go; read it through the worker");
  }
  if (block == nullptr) {
    TRY(created, create_block(ref, layout, layout.unit_charge_bytes(0)));
    block = std::move(created);
    blocks_.emplace(ref.id, block);
  }
  Status sealed = block->memory->seal_size();
  Result<BlockGrant> granted = sealed ? lease(block) : Result<BlockGrant>(std::move(sealed).error());
  if (!granted) erase_if_idle(*block);
  return granted;
}

Result<BlockGrant> BlockStoreImpl::lease(std::shared_ptr<Block> block) {
  TRY(fd, block->memory->open_read_only());
  BlockGrant grant{.fd = std::move(fd), .length_bytes = block->layout.length_bytes};
  // From now on the block goes whole, so the policy knows it by one slot, and by none while leased.
  for (std::uint32_t unit = 0; unit < block->units.size(); ++unit) remove_slot(*block, unit, Removal::dropped);
  if (block->leases++ == 0) leased_bytes_ += block->charged_bytes();
  block->last_access = ++accesses_;
  grant.lease = leases_.add(std::move(block));
  return grant;
}

void BlockStoreImpl::release(LeaseId id) {
  const std::optional<LeaseTable::Lease> lease = leases_.remove(id);
  if (!lease) return;
  if (lease->segment != nullptr) return release_segment(*lease->segment);
  Block& block = *lease->block;
  if (--block.leases > 0 || block.place == Place::detached) return;
  leased_bytes_ -= block.charged_bytes();
  block.last_access = ++accesses_;
  renew_whole_slot(block);
  erase_if_idle(block);
}

bool BlockStoreImpl::shows(LeaseId id, std::span<const std::byte> bytes) const {
  const LeaseTable::Lease* lease = leases_.find(id);
  if (lease == nullptr) return false;
  const std::span<const std::byte> shown = lease->memory->bytes();
  return bytes.data() >= shown.data() && bytes.data() + bytes.size() <= shown.data() + shown.size();
}

std::vector<LeaseId> BlockStoreImpl::leases_to_recall(std::uint64_t bytes) const { return leases_.coldest(bytes); }

}  // namespace hearth
