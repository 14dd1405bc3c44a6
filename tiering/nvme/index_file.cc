#include "tiering/nvme/index_file.h"

#include "common/log.h"
#include "tiering/nvme/sector_sums.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

namespace hearth {
namespace {

constexpr std::uint64_t load_step_bytes = 4ULL << 20;
constexpr std::uint32_t gap_worth_writing = 32;      // clean records between dirty ones cost less than a second write
constexpr std::size_t records_per_write = 16384;     // 1 MiB

std::string index_name() { return std::string(index_file_name); }
std::string identity_name() { return std::string(identity_file_name); }

}  // namespace

std::uint64_t IndexFile::sums_entry_size() const { return sums_entry_bytes(identity_.max_page_bytes); }

Task<IndexFile::Header> IndexFile::read_header(std::string name) {
  Header header;
  auto file = co_await device_.open(name, DiskOpen::existing, DiskCaching::buffered);
  if (!file) {
    if (file.code() != Code::not_found) co_return std::move(file).error();
    header.missing = true;
    co_return header;
  }
  std::vector<std::byte> sector(index_header_bytes);
  auto length = co_await device_.length_bytes(*file);
  Status status = length ? ok() : Status(std::move(length).error());
  if (status && *length == 0) {
    header.missing = true;
  } else if (status && *length < index_header_bytes) {
    header.status = Error(Code::corrupt, name + " is shorter than its header");
  } else if (status) {
    status = co_await device_.read(*file, 0, sector);
    if (status) {
      auto decoded = decode_identity(sector, name);
      if (decoded) header.identity = *decoded;
      if (!decoded) header.status = std::move(decoded).error();
    }
  }
  CO_CHECK_OK(co_await device_.close(*file));
  if (!status) co_return std::move(status).error();
  co_return header;
}

Task<> IndexFile::replace(std::string name, DeviceIdentity identity) {
  const std::string fresh = name + ".new";
  auto file = co_await device_.open(fresh, DiskOpen::create_or_open, DiskCaching::buffered);
  if (!file) co_return std::move(file).error();
  const IndexSector sector = encode_identity(identity);
  Status status = co_await device_.truncate(*file, 0);
  if (status) status = co_await device_.write(*file, 0, sector);
  if (status) status = co_await device_.sync(*file);
  Status closed = co_await device_.close(*file);
  if (status) status = std::move(closed);
  if (!status) co_return status;
  CO_CHECK_OK(co_await device_.disk().rename(fresh, name));
  Status durable = co_await device_.disk().sync_directory();
  co_return durable;
}

Task<> IndexFile::start_empty(DeviceIdentity wanted) {
  identity_ = wanted;
  // The index first: an identity without an index would take the next one it finds for its own.
  CO_CHECK_OK(co_await replace(index_name(), wanted));
  Status status = co_await replace(identity_name(), wanted);
  co_return status;
}

Task<> IndexFile::adopt(Header identity, Header index, DeviceIdentity wanted, Unreadable unreadable) {
  if (identity.missing && index.missing) {
    Status status = co_await start_empty(wanted);
    co_return status;
  }
  const bool newer = identity.status.code() == Code::version_mismatch || index.status.code() == Code::version_mismatch;
  const bool differ = identity.identity && index.identity && identity.identity->uuid != index.identity->uuid;
  if (newer || differ || (!identity.identity && !index.identity)) {
    if (unreadable == Unreadable::start_empty) {
      repaired_ = "identity and index were unreadable; started empty";
      Status status = co_await start_empty(wanted);
      co_return status;
    }
    if (differ) {
      co_return Error(Code::corrupt, "identity and index are of different directories; put back the right files, or start the tier empty "
                                     "with if_unreadable = \"rebuild\" (only cached data is lost)");
    }
    Status& why = newer ? (identity.status.code() == Code::version_mismatch ? identity.status : index.status)
                        : (identity.status ? index.status : identity.status);
    const std::string hint = newer ? "" : "; start the tier empty with if_unreadable = \"rebuild\" (only cached data is lost)";
    co_return Error(why.code(), why.error().message() + hint);
  }
  identity_ = identity.identity ? *identity.identity : *index.identity;
  if (wanted.cluster_id != 0 && identity_.cluster_id != 0 && wanted.cluster_id != identity_.cluster_id) {
    co_return Error(Code::invalid_argument, "the directory belongs to cluster " + std::to_string(identity_.cluster_id) + ", not to " +
                                                std::to_string(wanted.cluster_id) + "; give this worker a directory of its own");
  }
  if (!identity.identity) {
    repaired_ = "identity was missing or damaged; written again from the index";
    CO_CHECK_OK(co_await replace(identity_name(), identity_));
  }
  if (!index.identity && index.missing) {
    repaired_ = "the index was missing; started an empty one";
    CO_CHECK_OK(co_await replace(index_name(), identity_));
  } else if (!index.identity) {
    repaired_ = "the header of the index was damaged; written again from the identity";
    CO_CHECK_OK(co_await write_index_header());
  }
  const auto older = [](const Header& header) { return header.identity && header.identity->format_version < page_index_format_version; };
  identity_.format_version = page_index_format_version;
  // Its records are records of this version; a build that knows only the older one must refuse them from now on.
  if (older(identity)) CO_CHECK_OK(co_await replace(identity_name(), identity_));
  if (older(index)) CO_CHECK_OK(co_await write_index_header());
  co_return ok();
}

Task<> IndexFile::write_index_header() {
  auto file = co_await device_.open(index_name(), DiskOpen::existing, DiskCaching::buffered);
  if (!file) co_return std::move(file).error();
  const IndexSector sector = encode_identity(identity_);
  Status status = co_await device_.write(*file, 0, sector);
  if (status) status = co_await device_.sync(*file);
  Status closed = co_await device_.close(*file);
  if (status) status = std::move(closed);
  co_return status;
}

Task<> IndexFile::open(DeviceIdentity wanted, Unreadable unreadable) {
  auto identity = co_await read_header(identity_name());
  if (!identity) co_return std::move(identity).error();
  auto index = co_await read_header(index_name());
  if (!index) co_return std::move(index).error();
  CO_CHECK_OK(co_await adopt(std::move(*identity), std::move(*index), wanted, unreadable));
  auto file = co_await device_.open(index_name(), DiskOpen::existing, DiskCaching::buffered);
  if (!file) co_return std::move(file).error();
  index_ = *file;
  auto sums = co_await device_.open(std::string(sums_file_name), DiskOpen::create_or_open, DiskCaching::buffered);
  if (!sums) co_return std::move(sums).error();
  sums_ = *sums;
  co_return ok();
}

Task<> IndexFile::load_range(DiskFileId file, std::uint64_t from, std::uint64_t to,
                             std::function<void(std::uint32_t, const IndexRecord&)> sink, LoadResult* result) {
  DiskBuffer buffer = device_.buffer(std::min(load_step_bytes, to - from));
  for (std::uint64_t at = from; at < to;) {
    const std::span<std::byte> bytes = buffer.bytes().first(std::min<std::uint64_t>(load_step_bytes, to - at));
    CO_CHECK_OK(co_await device_.read(file, at, bytes));
    for (std::size_t offset = 0; offset + index_record_bytes <= bytes.size(); offset += index_record_bytes) {
      const std::uint64_t place = at + offset;
      if (place < index_header_bytes) continue;
      const auto slot = static_cast<std::uint32_t>((place - index_header_bytes) / index_record_bytes);
      IndexRecord record;
      const RecordKind kind = decode_record(bytes.subspan(offset).first<index_record_bytes>(), identity_, slot, record);
      if (kind == RecordKind::damaged) ++result->damaged;
      if (kind != RecordKind::valid) continue;
      ++result->valid;
      sink(slot, record);
    }
    at += bytes.size();
  }
  co_return ok();
}

Task<IndexFile::LoadResult> IndexFile::load(std::function<void(std::uint32_t, const IndexRecord&)> sink) {
  LoadResult result;
  CO_TRY(length, co_await device_.length_bytes(*index_));
  const std::uint64_t end = length / index_record_bytes * index_record_bytes;
  const std::uint64_t aligned = end / disk_alignment_bytes * disk_alignment_bytes;
  if (aligned > index_header_bytes) {
    CO_TRY(direct, co_await device_.open(index_name(), DiskOpen::existing, DiskCaching::direct));
    Status status = co_await load_range(direct, index_header_bytes, aligned, sink, &result);
    CO_CHECK_OK(co_await device_.close(direct));
    if (!status) co_return std::move(status).error();
  }
  const std::uint64_t rest = std::max<std::uint64_t>(aligned, index_header_bytes);
  if (end > rest) CO_CHECK_OK(co_await load_range(*index_, rest, end, sink, &result));
  co_return result;
}

Task<> IndexFile::write(std::vector<SlotRecord> records, std::function<std::optional<IndexRecord>(std::uint32_t)> fill) {
  for (std::size_t first = 0; first < records.size();) {
    std::size_t last = first;
    while (last + 1 < records.size() && records[last + 1].slot - records[last].slot <= gap_worth_writing &&
           records[last + 1].slot - records[first].slot < records_per_write) {
      ++last;
    }
    const std::uint32_t begin = records[first].slot;
    std::vector<std::byte> bytes((records[last].slot - begin + 1) * index_record_bytes);
    for (std::uint32_t slot = begin; slot <= records[last].slot; ++slot) {
      std::optional<IndexRecord> record;
      if (records[first].slot == slot) {
        record = records[first++].record;
      } else {
        record = fill(slot);
      }
      const std::span<std::byte, index_record_bytes> place(bytes.data() + std::size_t{slot - begin} * index_record_bytes, index_record_bytes);
      if (record) encode_record(*record, identity_, slot, place);
    }
    CO_CHECK_OK(co_await device_.write(*index_, record_offset(begin), bytes));
  }
  co_return ok();
}

Task<> IndexFile::write_sums(std::vector<SlotSums> sums) {
  const std::uint64_t entry = sums_entry_size();
  for (std::size_t first = 0; first < sums.size();) {
    std::size_t end = first + 1;
    while (end < sums.size() && sums[end].slot == sums[end - 1].slot + 1 && (end - first) * entry < (1U << 20)) ++end;
    // What lies between the sums of a short page and those of the next is written as zeros: it belongs to the same entry.
    std::vector<std::byte> bytes((end - first - 1) * entry + sums[end - 1].sums.size() * 4);
    for (std::size_t i = first; i < end; ++i) {
      for (std::size_t sector = 0; sector < sums[i].sums.size(); ++sector) {
        for (unsigned byte = 0; byte < 4; ++byte) {
          bytes[(i - first) * entry + sector * 4 + byte] = static_cast<std::byte>(sums[i].sums[sector] >> (8 * byte));
        }
      }
    }
    CO_CHECK_OK(co_await device_.write(*sums_, sums[first].slot * entry, bytes));
    first = end;
  }
  co_return ok();
}

Task<std::vector<std::uint32_t>> IndexFile::read_sums(std::uint32_t slot, std::uint32_t count) {
  std::vector<std::byte> bytes(std::size_t{count} * 4);
  CO_CHECK_OK(co_await device_.read(*sums_, slot * sums_entry_size(), bytes));
  std::vector<std::uint32_t> sums(count);
  for (std::size_t i = 0; i < bytes.size(); ++i) sums[i / 4] |= std::to_integer<std::uint32_t>(bytes[i]) << (8 * (i % 4));
  co_return sums;
}

Task<> IndexFile::sync() {
  CO_CHECK_OK(co_await device_.sync(*sums_));
  Status status = co_await device_.sync(*index_);
  co_return status;
}

Task<> IndexFile::check_identity() {
  auto header = co_await read_header(identity_name());
  if (!header) co_return std::move(header).error();
  if (header->identity && header->identity->uuid == identity_.uuid) co_return ok();
  // Damaged or gone by itself, or with everything else? The index, opened afresh, knows.
  auto index = co_await read_header(index_name());
  if (!header->identity && index && index->identity && index->identity->uuid == identity_.uuid) {
    Status repaired = co_await replace(identity_name(), identity_);
    co_return repaired;
  }
  if (header->identity) co_return Error(Code::stale, "the directory is another one now (" + header->identity->uuid_text() + ")");
  co_return Error(Code::stale, header->missing ? std::string("the directory has no identity any more") : header->status.error().message());
}

Task<bool> IndexFile::take_clean_mark() {
  Status removed = co_await device_.remove(std::string(clean_file_name));
  if (removed.code() == Code::not_found) co_return false;
  if (!removed) co_return std::move(removed).error();
  CO_CHECK_OK(co_await device_.disk().sync_directory());  // or a power loss would bring it back
  co_return true;
}

Task<> IndexFile::leave_clean_mark() {
  auto file = co_await device_.open(std::string(clean_file_name), DiskOpen::create_or_open, DiskCaching::buffered);
  if (!file) co_return std::move(file).error();
  Status closed = co_await device_.close(*file);
  co_return closed;
}

Task<> IndexFile::close() {
  for (std::optional<DiskFileId>* file : {&index_, &sums_}) {
    if (!*file) continue;
    const DiskFileId id = **file;
    file->reset();
    CO_CHECK_OK(co_await device_.close(id));
  }
  co_return ok();
}

}  // namespace hearth
