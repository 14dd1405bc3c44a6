// Prints the size, the first bytes and the read speed of a file of the namespace.
//
//   read_file 127.0.0.1:19800 /data/part-0001.parquet
#include <hearth/client.h>

#include <chrono>
#include <cstdio>
#include <vector>

namespace {

int fail(const hearth::Error& error) {
  std::fprintf(stderr, "read_file: %s\n", error.to_string().c_str());
  return hearth::info(error.code()).exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: read_file MASTER PATH\n");
    return 2;
  }
  auto client = hearth::Client::connect({.master = argv[1]});
  if (!client) return fail(client.error());
  auto file = client->open(argv[2]);
  if (!file) return fail(file.error());

  std::vector<std::byte> buffer(1 << 20);
  std::uint64_t offset = 0;
  const auto start = std::chrono::steady_clock::now();
  for (;;) {
    auto count = file->pread(buffer, offset);
    if (!count) return fail(count.error());
    if (*count == 0) break;
    offset += *count;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  const auto counters = client->counters();
  std::printf("%s: %llu bytes at %.0f MiB/s, %llu of them from shared memory\n", argv[2],
              static_cast<unsigned long long>(offset), static_cast<double>(offset) / 1048576.0 / took.count(),
              static_cast<unsigned long long>(counters.mapped_bytes));
}
