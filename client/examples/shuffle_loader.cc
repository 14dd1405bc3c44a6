// Loads the small files below a directory in random order, a batch at a time, as a training job does.
//
//   shuffle_loader 127.0.0.1:19800 /data/train 100000 256      (at most so many samples, so many per batch)
//
// Two habits make it fast: names are opened many at once, and a batch is read with one call. What the worker of this host
// shares is copied from its memory; the rest is one round trip per worker and batch.
#include <hearth/client.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

namespace {

int fail(const hearth::Error& error) {
  std::fprintf(stderr, "shuffle_loader: %s\n", error.to_string().c_str());
  return hearth::info(error.code()).exit_code;
}

// The regular files of the tree below `directory`, at most `most`.
hearth::Status find_samples(const hearth::Client& client, const std::string& directory, std::size_t most,
                            std::vector<std::string>& found) {
  std::string last;
  for (bool more = true; more && found.size() < most;) {
    TRY(page, client.list(directory, last));
    for (const hearth::DirectoryItem& item : page.items) {
      const std::string path = (directory == "/" ? "" : directory) + "/" + item.name;
      if (item.status.type == hearth::EntryType::directory) CHECK_OK(find_samples(client, path, most, found));
      if (item.status.type == hearth::EntryType::regular && found.size() < most) found.push_back(path);
    }
    more = page.more && !page.items.empty();
    if (more) last = page.items.back().name;
  }
  return hearth::ok();
}

// Whole samples, each in memory of its own that is used again for the next batch.
hearth::Result<std::uint64_t> read_batch(const hearth::Client& client, std::span<const hearth::File> files,
                                         std::vector<std::vector<std::byte>>& memory) {
  std::vector<hearth::ReadItem> items(files.size());
  memory.resize(std::max(memory.size(), files.size()));
  for (std::size_t i = 0; i < files.size(); ++i) {
    memory[i].resize(files[i].status().length_bytes);
    items[i].file = files[i];
    items[i].into = memory[i];
  }
  CHECK_OK(client.read_many(items));
  std::uint64_t bytes = 0;
  for (const hearth::ReadItem& item : items) {
    if (!item.result) return item.result.error();
    bytes += *item.result;
  }
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 5) {
    std::fprintf(stderr, "usage: shuffle_loader MASTER DIRECTORY [SAMPLES [BATCH]]\n");
    return 2;
  }
  const std::size_t most = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 100'000;
  const std::size_t batch = argc > 4 ? std::max<std::size_t>(std::strtoull(argv[4], nullptr, 10), 1) : 256;
  auto client = hearth::Client::connect({.master = argv[1]});
  if (!client) return fail(client.error());
  std::vector<std::string> paths;
  const hearth::Status listed = find_samples(*client, argv[2], most, paths);
  if (!listed) return fail(listed.error());

  const auto start = std::chrono::steady_clock::now();
  std::vector<hearth::File> files;
  for (auto& file : client->open_many(paths)) {
    if (!file) return fail(file.error());
    files.push_back(std::move(*file));
  }
  const auto opened = std::chrono::steady_clock::now();
  for (int epoch = 1; epoch <= 2; ++epoch) {  // the second one is warm
    std::shuffle(files.begin(), files.end(), std::mt19937_64(static_cast<unsigned>(epoch)));
    const auto began = std::chrono::steady_clock::now();
    std::vector<std::vector<std::byte>> memory;
    std::uint64_t bytes = 0;
    for (std::size_t first = 0; first < files.size(); first += batch) {
      auto count = read_batch(*client, std::span(files).subspan(first, std::min(batch, files.size() - first)), memory);
      if (!count) return fail(count.error());
      bytes += *count;
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    std::printf("epoch %d: %zu samples, %llu bytes, %.0f samples/s\n", epoch, files.size(), static_cast<unsigned long long>(bytes),
                static_cast<double>(files.size()) / took.count());
  }
  std::printf("opened %zu files in %.3f s; %llu bytes came from shared memory\n", files.size(),
              std::chrono::duration<double>(opened - start).count(),
              static_cast<unsigned long long>(client->counters().mapped_bytes));
}
