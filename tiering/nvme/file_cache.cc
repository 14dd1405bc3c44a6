#include "tiering/nvme/file_cache.h"

#include "tiering/nvme/index_format.h"

#include <algorithm>
#include <cassert>

namespace hearth {

FileCache::Use FileCache::use(const BlockId& block) {
  std::shared_ptr<TierFile>& file = files_[block];
  if (!file) file = std::make_shared<TierFile>(block, tasks_.executor());
  if (file->idle) {
    idle_.erase(file->idle_place);
    file->idle = false;
  }
  return Use(this, file);
}

Task<> FileCache::ensure_open(std::shared_ptr<TierFile> file, DiskOpen how) {
  while (file->opening) CO_CHECK_OK(co_await file->opened.wait());
  if (file->direct) co_return ok();
  if (file->detached) co_return Error(Code::not_found, "the file of block " + file->block.to_hex() + " was removed meanwhile");
  file->opening = true;
  auto opened = co_await device_.open(block_file_name(file->block), how, DiskCaching::direct);
  Status status = ok();
  if (opened) {
    auto length = co_await device_.length_bytes(*opened);
    if (length) {
      file->length_bytes = *length;
      file->direct = *opened;
      ++open_;
    } else {
      status = std::move(length).error();
      Status closed = co_await device_.close(*opened);  // its own failure adds nothing to the first
      (void)closed;
    }
  } else {
    status = std::move(opened).error();
  }
  file->opening = false;
  file->opened.notify_all();
  co_return status;
}

Task<> FileCache::ensure_buffered(std::shared_ptr<TierFile> file) {
  while (file->opening) CO_CHECK_OK(co_await file->opened.wait());
  if (file->buffered) co_return ok();
  if (file->detached) co_return Error(Code::not_found, "the file of block " + file->block.to_hex() + " was removed meanwhile");
  file->opening = true;
  auto opened = co_await device_.open(block_file_name(file->block), DiskOpen::existing, DiskCaching::buffered);
  file->opening = false;
  file->opened.notify_all();
  if (!opened) co_return std::move(opened).error();
  file->buffered = *opened;
  ++open_;
  co_return ok();
}

bool FileCache::has_readers(const BlockId& block, std::uint32_t page) const {
  const auto found = files_.find(block);
  return found != files_.end() && found->second->readers.contains(page);
}

std::uint32_t FileCache::users(const BlockId& block) const {
  const auto found = files_.find(block);
  return found == files_.end() ? 0 : found->second->users;
}

bool FileCache::detach(const BlockId& block, std::uint64_t orphaned_bytes) {
  const auto found = files_.find(block);
  if (found == files_.end()) return false;
  const std::shared_ptr<TierFile> file = found->second;
  files_.erase(found);
  file->detached = true;
  if (file->idle) {
    idle_.erase(file->idle_place);
    file->idle = false;
  }
  if (file->users == 0 && !file->direct && !file->buffered) return false;
  file->orphaned_bytes = orphaned_bytes;
  if (file->users == 0) close(*file);
  return true;
}

void FileCache::release(std::shared_ptr<TierFile> file) {
  assert(file->users > 0);
  if (--file->users > 0) return;
  if (file->detached) {
    close(*file);
    return;
  }
  if (!file->direct && !file->buffered) {
    files_.erase(file->block);
    return;
  }
  file->idle_place = idle_.insert(idle_.end(), file);
  file->idle = true;
  while (open_ > max_open_ && !idle_.empty()) {
    const std::shared_ptr<TierFile> oldest = idle_.front();
    idle_.pop_front();
    oldest->idle = false;
    files_.erase(oldest->block);
    close(*oldest);
  }
}

void FileCache::close_idle() {
  for (const std::shared_ptr<TierFile>& file : std::exchange(idle_, {})) {
    file->idle = false;
    files_.erase(file->block);
    close(*file);
  }
}

void FileCache::close(TierFile& file) {
  std::uint64_t orphaned = std::exchange(file.orphaned_bytes, 0);
  for (std::optional<DiskFileId>* handle : {&file.buffered, &file.direct}) {
    if (!*handle) continue;
    --open_;
    ++closing_[file.block];
    // The bytes are given back with the last descriptor; the direct one is the last here.
    const std::uint64_t bytes = handle == &file.direct ? std::exchange(orphaned, 0) : 0;
    // The group takes tasks until shut_down() has closed everything that was idle.
    const Status spawned = tasks_.spawn(close_now(**handle, file.block, bytes), "close_cache_file");
    if (!spawned) closed_(bytes);
    handle->reset();
  }
  if (orphaned > 0) closed_(orphaned);
}

Task<> FileCache::close_now(DiskFileId file, BlockId block, std::uint64_t orphaned_bytes) {
  Status closed = co_await device_.close(file);
  (void)closed;  // the health knows; the descriptor is gone either way
  const auto found = closing_.find(block);
  if (--found->second == 0) closing_.erase(found);
  closed_(orphaned_bytes);
  co_return ok();
}

}  // namespace hearth
