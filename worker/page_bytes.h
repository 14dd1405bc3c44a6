// Bytes of one page with their checksums, wherever they are: in memory's tier, read from a device, or in a buffer beside.
//
// Threads: the bytes may be read by any; they stay unchanged while this, or a copy of it, lives.
#pragma once

#include "tiering/block_store.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace hearth::worker {

// Where bytes came from, for the reader's counts and for what is told of them.
enum class Source : std::uint8_t { memory, device, store };
enum class Kept : std::uint8_t { no, yes };

class PageBytes {
 public:
  PageBytes() = default;
  explicit PageBytes(PageView view) : view_(std::move(view)), kept_(Kept::yes) {}
  // `checksums`: the CRC32C of each piece of `bytes`, cut where the chunks of the page end.
  PageBytes(std::shared_ptr<const void> holder, std::span<const std::byte> bytes, std::span<const std::uint32_t> checksums,
            Kept kept, std::uint64_t begin_in_page = 0)
      : holder_(std::move(holder)), bytes_(bytes), checksums_(checksums), begin_in_page_(begin_in_page), kept_(kept) {}

  std::span<const std::byte> bytes() const { return view_ ? view_.bytes() : bytes_; }
  std::span<const std::uint32_t> chunk_checksums() const { return view_ ? view_.chunk_checksums() : checksums_; }
  // Where in the page bytes() begins: only a part that was read from a device begins after its start.
  std::uint64_t begin_in_page() const { return begin_in_page_; }
  // Some tier keeps the page.
  bool in_tier() const { return kept_ == Kept::yes; }
  std::shared_ptr<const void> holder() const { return holder_; }

  Source source() const { return source_; }
  void set_source(Source source) { source_ = source; }

 private:
  PageView view_;
  std::shared_ptr<const void> holder_;  // shared by the readers that joined one fetch
  std::span<const std::byte> bytes_;
  std::span<const std::uint32_t> checksums_;
  std::uint64_t begin_in_page_ = 0;
  Source source_ = Source::store;
  Kept kept_ = Kept::no;
};

}  // namespace hearth::worker
