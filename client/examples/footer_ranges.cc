// Reads a columnar file as a query engine does: the footer at its end first, then the ranges that the footer made it
// choose, all of them in one call.
//
//   footer_ranges 127.0.0.1:19800 /data/part-0001.parquet 4+65536 1048576+40000      (offset+length each)
//
// A Parquet file ends with its footer, four bytes of the footer's length, little-endian, and "PAR1"
// (https://parquet.apache.org/docs/file-format/). Understanding the footer is the engine's work: here the ranges are given.
#include <hearth/client.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

constexpr std::uint64_t tail_bytes = 64U << 10;  // most footers are shorter: one read instead of two

int fail(const hearth::Error& error) {
  std::fprintf(stderr, "footer_ranges: %s\n", error.to_string().c_str());
  return hearth::info(error.code()).exit_code;
}

hearth::Result<std::vector<std::byte>> read_range(const hearth::File& file, std::uint64_t offset, std::uint64_t length) {
  std::vector<std::byte> bytes(length);
  TRY(count, file.pread(bytes, offset));
  bytes.resize(count);
  return bytes;
}

hearth::Result<std::vector<std::byte>> read_footer(const hearth::File& file) {
  const std::uint64_t length = file.status().length_bytes;
  const std::uint64_t tail_start = length - std::min(length, tail_bytes);
  TRY(tail, read_range(file, tail_start, length - tail_start));
  if (tail.size() < 8 || std::memcmp(tail.data() + tail.size() - 4, "PAR1", 4) != 0) {
    return hearth::Error(hearth::Code::invalid_argument, file.path() + " does not end as a Parquet file does");
  }
  std::uint64_t footer_bytes = 0;
  for (std::size_t i = 0; i < 4; ++i) footer_bytes |= std::to_integer<std::uint64_t>(tail[tail.size() - 8 + i]) << (8 * i);
  if (footer_bytes + 8 > length) return hearth::Error(hearth::Code::corrupt, file.path() + " names a footer longer than itself");
  if (footer_bytes + 8 > tail.size()) return read_range(file, length - 8 - footer_bytes, footer_bytes);
  const auto end = tail.end() - 8;
  return std::vector<std::byte>(end - static_cast<std::ptrdiff_t>(footer_bytes), end);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: footer_ranges MASTER PATH [OFFSET+LENGTH ...]\n");
    return 2;
  }
  auto client = hearth::Client::connect({.master = argv[1]});
  if (!client) return fail(client.error());
  auto file = client->open(argv[2]);
  if (!file) return fail(file.error());
  auto footer = read_footer(*file);
  if (!footer) return fail(footer.error());
  std::printf("footer: %zu bytes\n", footer->size());

  std::vector<std::vector<std::byte>> chunks;
  std::vector<hearth::ReadItem> items;
  for (int i = 3; i < argc; ++i) {
    char* after = nullptr;
    const std::uint64_t offset = std::strtoull(argv[i], &after, 10);
    chunks.emplace_back(*after == '+' ? std::strtoull(after + 1, nullptr, 10) : 0);
    items.push_back(hearth::ReadItem{.file = *file, .offset = offset, .into = chunks.back()});
  }
  const hearth::Status read = client->read_many(items);
  if (!read) return fail(read.error());
  for (const hearth::ReadItem& item : items) {
    if (!item.result) return fail(item.result.error());
    std::printf("range %llu+%zu: %zu bytes\n", static_cast<unsigned long long>(item.offset), item.into.size(), *item.result);
  }
}
