#include "tiering/disk/sim_image.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

namespace hearth::disk {
namespace {

// More than this and the oldest change becomes durable by itself, as a kernel writes back: a bound for long tests.
constexpr std::uint64_t max_unsynced_bytes = 16ULL << 20;

// Calls `part(page index, offset in the page, offset in the range, bytes)` for each page the range touches.
template <class Part>
void for_each_page(std::uint64_t offset, std::uint64_t length, const Part& part) {
  for (std::uint64_t done = 0; done < length;) {
    const std::uint64_t at = (offset + done) % disk_alignment_bytes;
    const std::uint64_t step = std::min(length - done, disk_alignment_bytes - at);
    part((offset + done) / disk_alignment_bytes, at, done, step);
    done += step;
  }
}

std::uint64_t pages_of(std::uint64_t length_bytes) { return (length_bytes + disk_alignment_bytes - 1) / disk_alignment_bytes; }

}  // namespace

SimImage::Page& SimImage::page_for_write(std::uint64_t index) {
  std::unique_ptr<Page>& page = pages_[index];
  if (!page) page = std::make_unique<Page>();
  return *page;
}

void SimImage::read(std::uint64_t offset, std::span<std::byte> into) const {
  for_each_page(offset, into.size(), [&](std::uint64_t index, std::uint64_t at, std::uint64_t done, std::uint64_t step) {
    const auto page = pages_.find(index);
    if (page != pages_.end() && page->second) {
      std::memcpy(into.data() + done, page->second->data() + at, step);
    } else {
      std::memset(into.data() + done, 0, step);
    }
  });
}

void SimImage::write(std::uint64_t offset, std::span<const std::byte> bytes) {
  for_each_page(offset, bytes.size(), [&](std::uint64_t index, std::uint64_t at, std::uint64_t done, std::uint64_t step) {
    std::memcpy(page_for_write(index).data() + at, bytes.data() + done, step);
  });
  length_bytes_ = std::max(length_bytes_, offset + bytes.size());
}

void SimImage::truncate(std::uint64_t length_bytes) {
  if (length_bytes < length_bytes_) {
    pages_.erase(pages_.lower_bound(pages_of(length_bytes)), pages_.end());
    const std::uint64_t kept = length_bytes % disk_alignment_bytes;
    const auto last = pages_.find(length_bytes / disk_alignment_bytes);
    if (kept != 0 && last != pages_.end() && last->second) {
      std::memset(last->second->data() + kept, 0, disk_alignment_bytes - kept);
    }
  }
  length_bytes_ = length_bytes;
}

void SimImage::reserve(std::uint64_t length_bytes) {
  for (std::uint64_t index = 0; index < pages_of(length_bytes); ++index) pages_.try_emplace(index);
}

void SimImage::punch(std::uint64_t offset, std::uint64_t length_bytes) {
  const std::uint64_t first = pages_of(offset);
  const std::uint64_t end = (offset + length_bytes) / disk_alignment_bytes;
  if (first < end) pages_.erase(pages_.lower_bound(first), pages_.lower_bound(end));
  for_each_page(offset, length_bytes, [&](std::uint64_t index, std::uint64_t at, std::uint64_t, std::uint64_t step) {
    const auto page = pages_.find(index);
    if (page != pages_.end() && page->second) std::memset(page->second->data() + at, 0, step);
  });
}

std::uint64_t SimImage::missing_pages(std::uint64_t offset, std::uint64_t length_bytes) const {
  if (length_bytes == 0) return 0;
  const std::uint64_t first = offset / disk_alignment_bytes;
  const std::uint64_t end = pages_of(offset + length_bytes);
  const auto there = std::distance(pages_.lower_bound(first), pages_.lower_bound(end));
  return end - first - static_cast<std::uint64_t>(there);
}

void SimImage::flip_bit(std::uint64_t offset, unsigned bit) {
  const std::byte mask{static_cast<unsigned char>(1U << (bit % 8))};
  page_for_write(offset / disk_alignment_bytes)[offset % disk_alignment_bytes] ^= mask;
}

SimImage SimImage::copy() const {
  SimImage twin;
  twin.length_bytes_ = length_bytes_;
  for (const auto& [index, page] : pages_) {
    twin.pages_.emplace_hint(twin.pages_.end(), index, page ? std::make_unique<Page>(*page) : nullptr);
  }
  return twin;
}

void apply(const SimChange& change, SimImage& to) {
  switch (change.kind) {
    case SimChange::Kind::write: return to.write(change.offset, change.bytes);
    case SimChange::Kind::truncate: return to.truncate(change.offset);
    case SimChange::Kind::reserve: return to.reserve(change.offset);
    case SimChange::Kind::punch: return to.punch(change.offset, change.length_bytes);
  }
}

void apply_partly(const SimChange& change, SimImage& to, Rng& dice) {
  if (change.kind != SimChange::Kind::write) {
    if (dice.below(2) == 0) apply(change, to);
    return;
  }
  const std::span<const std::byte> bytes(change.bytes);
  // The new length may have reached the medium without the bytes: they read as zeros then.
  if (change.offset + bytes.size() > to.length_bytes() && dice.below(2) == 0) to.truncate(change.offset + bytes.size());
  for_each_page(change.offset, bytes.size(), [&](std::uint64_t, std::uint64_t, std::uint64_t done, std::uint64_t step) {
    const std::uint64_t fate = dice.below(8);  // of eight: three lost, three kept, two torn
    if (fate < 3) return;
    const std::uint64_t grain = fate < 6 ? step : sim_sector_bytes;
    for (std::uint64_t at = 0; at < step; at += grain) {
      if (grain != step && dice.below(2) == 0) continue;
      to.write(change.offset + done + at, bytes.subspan(done + at, std::min(grain, step - at)));
    }
  });
}

void SimFile::change(SimChange change) {
  apply(change, written_);
  remember(std::move(change));
}

void SimFile::change_partly(const SimChange& change, Rng& dice) {
  const std::uint64_t length_before = written_.length_bytes();
  apply_partly(change, written_, dice);
  // What reached the page cache may be lost again with the power: page by page, as it is now.
  if (change.kind != SimChange::Kind::write) return remember(change);
  if (written_.length_bytes() != length_before) {
    remember({.kind = SimChange::Kind::truncate, .offset = written_.length_bytes()});
  }
  const std::uint64_t end = std::min<std::uint64_t>(change.offset + change.bytes.size(), written_.length_bytes());
  if (end <= change.offset) return;
  SimChange seen{.offset = change.offset};
  seen.bytes.resize(end - change.offset);
  written_.read(seen.offset, seen.bytes);
  remember(std::move(seen));
}

void SimFile::remember(SimChange change) {
  unsynced_bytes_ += change.bytes.size() + sizeof(SimChange);
  unsynced_.push_back(std::move(change));
  while (unsynced_bytes_ > max_unsynced_bytes) {
    apply(unsynced_.front(), durable_);
    unsynced_bytes_ -= unsynced_.front().bytes.size() + sizeof(SimChange);
    unsynced_.pop_front();
  }
}

void SimFile::sync() {
  for (const SimChange& each : unsynced_) apply(each, durable_);
  unsynced_.clear();
  unsynced_bytes_ = 0;
}

void SimFile::forget_unsynced(Rng& dice) {
  for (const SimChange& each : unsynced_) apply_partly(each, durable_, dice);
  unsynced_.clear();
  unsynced_bytes_ = 0;
  written_ = durable_.copy();
}

void SimFile::flip_bit(std::uint64_t offset, unsigned bit) {
  sync();  // else a later one would write the right bytes over it
  written_.flip_bit(offset, bit);
  durable_.flip_bit(offset, bit);
}

}  // namespace hearth::disk
