#include "client/src/readahead.h"

#include <algorithm>
#include <cstring>

namespace hearth::client {
namespace {

// Several threads that read one stream (the kernel's readahead through the mount, 4 MiB of requests at once) come out of
// order. Measured with 1 MiB: 1.8 times the bytes of a file were sent to such a reader.
constexpr std::uint64_t least_slack_bytes = 1U << 20;
constexpr unsigned sequential_after = 2;  // the third read in a row is ahead of its time

bool covers(const Readahead::Chunk& chunk, std::uint64_t offset) {
  return offset >= chunk.offset && offset < chunk.offset + chunk.length;
}

}  // namespace

Readahead::Readahead(std::uint64_t limit_bytes)
    : chunk_bytes_(limit_bytes / chunk_count), slack_bytes_(std::max(limit_bytes, least_slack_bytes)) {}

bool Readahead::saw_read(std::uint64_t offset, std::size_t length) {
  if (chunk_bytes_ == 0) return false;
  std::lock_guard lock(mutex_);
  const bool near = offset + slack_bytes_ >= expected_ && offset <= expected_ + slack_bytes_;
  if (!near) {
    reset_locked();
    streak_ = 0;
    expected_ = offset + length;
    return false;
  }
  expected_ = std::max(expected_, offset + length);
  streak_ = std::min(streak_ + 1, 1000U);
  return streak_ > sequential_after && length < chunk_bytes_ * chunk_count;
}

std::size_t Readahead::take(std::span<std::byte> into, std::uint64_t offset) {
  std::size_t done = 0;
  while (done < into.size()) {
    ChunkPtr chunk;
    {
      std::lock_guard lock(mutex_);
      for (const ChunkPtr& candidate : chunks_) {
        if (covers(*candidate, offset + done) && candidate->state == Chunk::State::ready) chunk = candidate;
      }
      if (chunk) ++chunk->readers;
    }
    if (!chunk) return done;
    const std::uint64_t from = offset + done - chunk->offset;
    const std::size_t count = std::min<std::size_t>(into.size() - done, chunk->length - from);
    std::memcpy(into.data() + done, chunk->bytes.data() + from, count);
    done += count;
    std::lock_guard lock(mutex_);
    --chunk->readers;
    chunk->taken += count;
    if (chunk->taken < chunk->length) continue;
    const auto found = std::find(chunks_.begin(), chunks_.end(), chunk);
    if (found == chunks_.end()) continue;
    chunks_.erase(found);
    recycle_locked(std::move(chunk));
  }
  return done;
}

Readahead::ChunkPtr Readahead::find(std::uint64_t offset) {
  std::lock_guard lock(mutex_);
  for (const ChunkPtr& chunk : chunks_) {
    if (covers(*chunk, offset)) return chunk;
  }
  return nullptr;
}

std::uint64_t Readahead::next_covered(std::uint64_t offset, std::uint64_t end) {
  std::lock_guard lock(mutex_);
  for (const ChunkPtr& chunk : chunks_) {
    if (covers(*chunk, offset)) return offset;
    if (chunk->offset > offset) end = std::min(end, chunk->offset);
  }
  return end;
}

void Readahead::read_alone(std::uint64_t end) {
  std::lock_guard lock(mutex_);
  begun_until_ = std::max(begun_until_, end);
}

Readahead::ChunkPtr Readahead::begin_fetch(std::uint64_t position, std::uint64_t file_length) {
  std::lock_guard lock(mutex_);
  // Behind the reader by more than what may come out of order: nobody will want it.
  while (!chunks_.empty() && chunks_.front()->offset + chunks_.front()->length + slack_bytes_ / 2 <= position) {
    ChunkPtr passed = std::move(chunks_.front());
    chunks_.pop_front();
    recycle_locked(std::move(passed));
  }
  const std::uint64_t start = std::max(position, begun_until_);
  const bool enough = start >= position + chunk_bytes_ * chunk_count || chunks_.size() >= chunk_count || loading_ >= chunk_count;
  if (closed_ || enough || start >= file_length) return nullptr;
  auto chunk = std::make_shared<Chunk>();
  chunk->offset = start;
  chunk->length = static_cast<std::size_t>(std::min(chunk_bytes_, file_length - start));
  if (!spare_.empty()) {
    chunk->bytes = std::move(spare_.back());
    spare_.pop_back();
  }
  chunk->bytes.resize(chunk->length);
  chunks_.push_back(chunk);
  begun_until_ = start + chunk->length;
  ++loading_;
  return chunk;
}

void Readahead::end_fetch(const ChunkPtr& chunk, const Status& status) {
  std::lock_guard lock(mutex_);
  --loading_;
  chunk->state = status ? Chunk::State::ready : Chunk::State::failed;
  if (status) return;
  const auto found = std::find(chunks_.begin(), chunks_.end(), chunk);
  if (found != chunks_.end()) chunks_.erase(found);  // whoever waits for it reads by itself and gets the error
}

void Readahead::recycle_locked(ChunkPtr chunk) {
  // Not while another thread copies from it or a fetch fills it.
  if (chunk->readers == 0 && chunk->state != Chunk::State::loading && spare_.size() < chunk_count) {
    spare_.push_back(std::move(chunk->bytes));
  }
}

void Readahead::reset_locked() {
  begun_until_ = 0;
  while (!chunks_.empty()) {
    ChunkPtr chunk = std::move(chunks_.front());
    chunks_.pop_front();
    recycle_locked(std::move(chunk));
  }
}

void Readahead::close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
  reset_locked();
  spare_.clear();
}

}  // namespace hearth::client
