// Compares every regular file of a source tree with what Hearth gives for it, byte by byte.
//
//   hearth-tree-check --source DIR --mount DIR --threads N
//   hearth-tree-check --source DIR --master ADDR --namespace PATH --threads N
//
// Prints one line of counts; ends with 1 when anything differs, is missing or fails.
#include <hearth/client.h>

#include "common/fd.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

namespace fs = std::filesystem;

constexpr std::size_t piece_bytes = 1U << 20;

struct Flags {
  std::string source, mount, master, name_space, seed = "1";
  int threads = 1;
};

// Reads up to `length` bytes at `offset`; the count, or -1 with a message in `why`.
using Reader = std::function<ssize_t(std::byte* into, std::size_t length, std::uint64_t offset, std::string& why)>;

Reader posix_reader(const std::string& path, std::string& why) {
  const auto owner = std::make_shared<hearth::UniqueFd>(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!*owner) {
    why = "open: " + std::string(std::strerror(errno));
    return {};
  }
  return [owner](std::byte* into, std::size_t length, std::uint64_t offset, std::string& error) {
    const ssize_t n = ::pread(owner->get(), into, length, static_cast<off_t>(offset));
    if (n < 0) error = "read: " + std::string(std::strerror(errno));
    return n;
  };
}

Reader client_reader(const hearth::Client& client, const std::string& path, std::string& why) {
  auto opened = client.open(path);
  if (!opened) {
    why = "open: " + opened.error().to_string();
    return {};
  }
  auto file = std::make_shared<hearth::File>(std::move(opened).value());
  return [file](std::byte* into, std::size_t length, std::uint64_t offset, std::string& error) -> ssize_t {
    auto n = file->pread({into, length}, offset);
    if (!n) error = "read: " + n.error().to_string();
    return n ? static_cast<ssize_t>(*n) : -1;
  };
}

struct Counts {
  std::atomic<std::uint64_t> files{0}, bytes{0}, wrong{0};
};

void compare(const std::string& name, const Reader& expected, const Reader& actual, Counts& counts) {
  thread_local std::vector<std::byte> left(piece_bytes), right(piece_bytes);
  std::string why;
  for (std::uint64_t at = 0;;) {
    const ssize_t n = expected(left.data(), piece_bytes, at, why);
    const ssize_t m = actual(right.data(), piece_bytes, at, why);
    if (n != m || (n > 0 && std::memcmp(left.data(), right.data(), static_cast<std::size_t>(n)) != 0)) {
      ++counts.wrong;
      std::fprintf(stderr, "differs at %llu: %s (%zd bytes expected, %zd read) %s\n",
                   static_cast<unsigned long long>(at), name.c_str(), n, m, why.c_str());
      return;
    }
    if (n <= 0) break;
    at += static_cast<std::uint64_t>(n);
    counts.bytes += static_cast<std::uint64_t>(n);
  }
  ++counts.files;
}

std::vector<std::string> regular_files(const std::string& root) {
  std::vector<std::string> names;
  for (fs::recursive_directory_iterator it(root, fs::directory_options::skip_permission_denied), end; it != end; ++it) {
    if (it->symlink_status().type() == fs::file_type::regular) names.push_back(fs::relative(it->path(), root).string());
  }
  return names;
}

Flags parse(int argc, char** argv) {
  Flags flags;
  std::map<std::string, std::string*> texts{{"--source", &flags.source}, {"--mount", &flags.mount},
                                            {"--master", &flags.master}, {"--namespace", &flags.name_space},
                                            {"--seed", &flags.seed}};
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::string(argv[i]) == "--threads") flags.threads = std::atoi(argv[i + 1]);
    else if (auto it = texts.find(argv[i]); it != texts.end()) *it->second = argv[i + 1];
    else { std::fprintf(stderr, "unknown flag %s\n", argv[i]); std::exit(2); }
  }
  return flags;
}

}  // namespace

int main(int argc, char** argv) {
  const Flags flags = parse(argc, argv);
  auto names = regular_files(flags.source);
  std::mt19937_64 random(std::stoull(flags.seed));
  std::shuffle(names.begin(), names.end(), random);

  hearth::ClientOptions options;
  options.master = flags.master;
  std::unique_ptr<hearth::Client> client;
  if (flags.mount.empty()) {
    auto connected = hearth::Client::connect(options);
    if (!connected) { std::fprintf(stderr, "%s\n", connected.error().to_string().c_str()); return 1; }
    client = std::make_unique<hearth::Client>(std::move(connected).value());
  }
  Counts counts;
  std::atomic<std::size_t> next{0};
  auto work = [&] {
    for (std::size_t i = next++; i < names.size(); i = next++) {
      std::string why;
      Reader expected = posix_reader(flags.source + "/" + names[i], why);
      if (!expected) continue;  // unreadable at the source as well
      Reader actual = client ? client_reader(*client, flags.name_space + "/" + names[i], why)
                             : posix_reader(flags.mount + "/" + names[i], why);
      if (!actual) {
        ++counts.wrong;
        std::fprintf(stderr, "%s: %s\n", names[i].c_str(), why.c_str());
        continue;
      }
      compare(names[i], expected, actual, counts);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < std::max(1, flags.threads); ++i) threads.emplace_back(work);
  for (auto& thread : threads) thread.join();
  std::printf("files=%llu bytes=%llu wrong=%llu\n", static_cast<unsigned long long>(counts.files),
              static_cast<unsigned long long>(counts.bytes), static_cast<unsigned long long>(counts.wrong));
  return counts.wrong == 0 && counts.files > 0 ? 0 : 1;
}
