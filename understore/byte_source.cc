#include "understore/byte_source.h"

#include "common/file_io.h"

#include <cassert>
#include <functional>
#include <utility>

namespace hearth {

ByteSource ByteSource::memory(std::span<const std::byte> bytes) {
  ByteSource source;
  source.bytes_ = bytes;
  source.length_bytes_ = bytes.size();
  return source;
}

ByteSource ByteSource::file(int fd, std::uint64_t length_bytes, BlockingPool& pool, std::string name) {
  ByteSource source;
  source.fd_ = fd;
  source.length_bytes_ = length_bytes;
  source.pool_ = &pool;
  source.name_ = std::move(name);
  return source;
}

Task<ByteSource::Piece> read_piece(ByteSource source, std::uint64_t offset, std::uint64_t length_bytes, LookAtBytes look) {
  assert(offset <= source.length_bytes_ && length_bytes <= source.length_bytes_ - offset);
  ByteSource::Piece piece;
  if (source.pool_ == nullptr) {
    piece.bytes = source.bytes_.subspan(offset, length_bytes);
  }
  if (source.pool_ == nullptr || length_bytes == 0) {
    if (look) look(piece.bytes);
    co_return std::move(piece);
  }
  piece.owned.resize(length_bytes);
  const std::span<std::byte> into(piece.owned);
  const std::string what = "the staged content of " + source.name_;
  std::function<Result<std::size_t>()> work = [fd = source.fd_, into, offset, what, &look]() -> Result<std::size_t> {
    TRY(count, read_at(fd, into, offset, what));
    if (look && count == into.size()) look(into);
    return count;
  };
  CO_TRY(count, co_await source.pool_->run<std::size_t>(std::move(work)));
  if (count != length_bytes) {
    co_return Error(Code::stale, what + " ends after " + std::to_string(offset + count) + " of " + std::to_string(source.length_bytes_) +
                                     " bytes: it was cut while it was uploaded");
  }
  piece.bytes = into;
  co_return std::move(piece);
}

}  // namespace hearth
