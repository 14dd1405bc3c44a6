// The read paths of Hearth beside their ceilings, in one run. Started by bench/run, which makes
// the data, a private cluster and the mount; prints JSON or Markdown.
#include "bench/measure.h"

#include <hearth/client.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace hearth::bench {
namespace {

constexpr std::size_t mebibyte = 1U << 20;
constexpr std::size_t small_read = 4096;
constexpr int random_reads = 20'000;
constexpr int small_files = 2000;

struct Paths {
  std::string master, name_space, cold_namespace, mount, source, tmpfs, only;
  int rounds = 7;
};

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "read_bench: %s\n", what.c_str());
  std::exit(1);
}

template <class T>
T must(Result<T> result, const std::string& what) {
  if (!result) fail(what + ": " + result.error().to_string());
  return std::move(result).value();
}

int open_or_fail(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail("cannot open " + path + ": " + std::strerror(errno));
  return fd;
}

// Pages of a file that the kernel has in its cache, in percent.
int cached_percent(int fd, std::size_t length) {
  void* mapping = ::mmap(nullptr, length, PROT_READ, MAP_SHARED, fd, 0);
  if (mapping == MAP_FAILED) return 0;  // a direct mapping is refused: nothing of it is in the page cache
  std::vector<unsigned char> resident((length + small_read - 1) / small_read);
  ::mincore(mapping, length, resident.data());
  ::munmap(mapping, length);
  return static_cast<int>(100 * std::count_if(resident.begin(), resident.end(), [](unsigned char c) { return c & 1; }) /
                          static_cast<long>(resident.size()));
}

// Forgets a file's page cache, and makes sure of it: a "cold" read of cached pages would flatter or shame the wrong side.
void drop_page_cache(const std::string& path) {
  const int fd = open_or_fail(path);
  struct stat status {};
  ::fstat(fd, &status);
  for (int attempt = 0; attempt < 20; ++attempt) {
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    if (cached_percent(fd, static_cast<std::size_t>(status.st_size)) == 0) break;
    std::ofstream("/proc/sys/vm/drop_caches") << "1\n";
  }
  ::close(fd);
}

// An equally large memfd with the same bytes, mapped: what "as fast as memory" means.
struct MemoryFile {
  int fd = -1;
  const std::byte* bytes = nullptr;
  std::size_t length = 0;
};

MemoryFile memory_copy_of(const std::string& path) {
  MemoryFile file;
  const int source = open_or_fail(path);
  struct stat status {};
  ::fstat(source, &status);
  file.length = static_cast<std::size_t>(status.st_size);
  file.fd = ::memfd_create("ceiling", MFD_CLOEXEC);
  if (::ftruncate(file.fd, status.st_size) != 0) fail("cannot size a memfd");
  auto* writable = static_cast<std::byte*>(
      ::mmap(nullptr, file.length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file.fd, 0));
  for (std::size_t at = 0; at < file.length;) {
    const ssize_t n = ::pread(source, writable + at, file.length - at, static_cast<off_t>(at));
    if (n <= 0) fail("cannot read " + path);
    at += static_cast<std::size_t>(n);
  }
  ::munmap(writable, file.length);
  file.bytes = static_cast<const std::byte*>(
      ::mmap(nullptr, file.length, PROT_READ, MAP_SHARED | MAP_POPULATE, file.fd, 0));
  ::close(source);
  return file;
}

std::uint64_t read_whole(int fd, std::vector<std::byte>& buffer) {
  std::uint64_t total = 0;
  while (true) {
    const ssize_t n = ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(total));
    if (n < 0) fail(std::string("read failed: ") + std::strerror(errno));
    if (n == 0) return total;
    total += static_cast<std::uint64_t>(n);
  }
}

std::uint64_t read_whole(const File& file, std::vector<std::byte>& buffer) {
  std::uint64_t total = 0;
  while (true) {
    const std::size_t n = must(file.pread(buffer, total), "client read");
    if (n == 0) return total;
    total += n;
  }
}

std::vector<std::uint64_t> random_offsets(std::uint64_t length) {
  std::mt19937_64 random(42);
  std::vector<std::uint64_t> offsets(random_reads);
  for (auto& offset : offsets) offset = random() % (length / small_read) * small_read;
  return offsets;
}

class ReadBench {
 public:
  explicit ReadBench(Paths paths) : paths_(std::move(paths)), client_(must(connect(), "connect")), buffer_(mebibyte) {}

  std::vector<Measurement> run() {
    warm_client();
    warm_mount();
    cold();
    metadata();
    return std::move(results_);
  }

 private:
  Result<Client> connect() const {
    ClientOptions options;
    options.master = paths_.master;
    return Client::connect(options);
  }

  bool wanted(const std::string& name) const { return paths_.only.empty() || name.starts_with(paths_.only); }

  void add(const std::string& name, const std::string& unit, Better better, double bar,
           std::vector<Contender> contenders) {
    if (!wanted(name)) return;
    std::fprintf(stderr, "  %s ...\n", name.c_str());
    results_.push_back(measure(name, unit, better, bar, paths_.rounds, std::move(contenders)));
  }

  std::string in_mount(const std::string& name) const { return paths_.mount + in_namespace(name); }
  std::string in_namespace(const std::string& name) const { return paths_.name_space + "/" + name; }

  void warm_client() {
    const File file = must(client_.open(in_namespace("big.bin")), "open");
    must(file.load(0, file.status().length_bytes), "load");
    read_whole(file, buffer_);
    MemoryFile ceiling = memory_copy_of(paths_.source + "/big.bin");
    add("client_seq_1m_warm", "GB/s", Better::higher, 0.8,
        {{"client", {}, [&] { return throughput(ceiling.length, [&] { read_whole(file, buffer_); }); }},
         {"memcpy from a mapped memfd", {}, [&] {
            return throughput(ceiling.length, [&] {
              for (std::size_t at = 0; at < ceiling.length; at += mebibyte) {
                std::memcpy(buffer_.data(), ceiling.bytes + at, std::min(mebibyte, ceiling.length - at));
                keep(buffer_.data());
              }
            });
          }}});
    const auto offsets = random_offsets(ceiling.length);
    std::span<std::byte> into(buffer_.data(), small_read);
    add("client_rand_4k_warm", "us p50", Better::lower, 2.0,
        {{"client", {}, [&] {
            return latency(random_reads, [&](int i) { must(file.pread(into, offsets[static_cast<std::size_t>(i)]), "read"); });
          }},
         {"pread of a memfd", {}, [&] {
            return latency(random_reads, [&](int i) {
              if (::pread(ceiling.fd, buffer_.data(), small_read, static_cast<off_t>(offsets[static_cast<std::size_t>(i)])) < 0) fail("pread");
            });
          }}});
    ::munmap(const_cast<std::byte*>(ceiling.bytes), ceiling.length);
    ::close(ceiling.fd);
  }

  void warm_mount() {
    const std::string ours = in_mount("big.bin");
    const std::string ceiling = paths_.tmpfs + "/big.bin";
    auto sequential = [this](const std::string& path) {
      return [this, path] {
        const int fd = open_or_fail(path);
        struct stat status {};
        ::fstat(fd, &status);
        const Round round = throughput(static_cast<std::uint64_t>(status.st_size), [&] { read_whole(fd, buffer_); });
        ::close(fd);
        return round;
      };
    };
    sequential(ours)();
    add("mount_seq_1m_repeated", "GB/s", Better::higher, 0.9,
        {{"mount", {}, sequential(ours)}, {"tmpfs", {}, sequential(ceiling)}});
    add("mount_seq_1m_first_warm", "GB/s", Better::higher, 0.4,
        {{"mount, page cache dropped", [ours] { drop_page_cache(ours); }, sequential(ours)},
         {"tmpfs", {}, sequential(ceiling)}});
    auto random = [this](const std::string& path) {
      return [this, path] {
        const int fd = open_or_fail(path);
        const auto offsets = random_offsets(static_cast<std::uint64_t>(::lseek(fd, 0, SEEK_END)));
        const Round round = latency(random_reads, [&](int i) {
          if (::pread(fd, buffer_.data(), small_read, static_cast<off_t>(offsets[static_cast<std::size_t>(i)])) < 0) fail("pread");
        });
        ::close(fd);
        return round;
      };
    };
    add("mount_rand_4k_warm", "us p50", Better::lower, 2.0, {{"mount", {}, random(ours)}, {"tmpfs", {}, random(ceiling)}});
  }

  // Source and cache both cold: the source's page cache is dropped, and a new change time makes the file another
  // version, of which nobody holds a byte. The attachment of cold.bin has a metadata_ttl of 0.
  void cold() {
    const std::string source = paths_.source + "/cold/cold.bin";
    const std::string inside = paths_.cold_namespace + "/cold.bin";
    struct stat status {};
    if (::stat(source.c_str(), &status) != 0) fail("no " + source);
    const auto length = static_cast<std::uint64_t>(status.st_size);
    auto new_version = [source] {
      if (::utimensat(AT_FDCWD, source.c_str(), nullptr, 0) != 0) fail("cannot touch " + source);
      std::this_thread::sleep_for(std::chrono::milliseconds(50));  // past the 20 ms in which a change is not believed
    };
    auto make_cold = [source, new_version] {
      new_version();
      drop_page_cache(source);
    };
    auto read_path = [this, length](const std::string& path) {
      return [this, length, path] {
        const int fd = open_or_fail(path);
        const Round round = throughput(length, [&] { read_whole(fd, buffer_); });
        ::close(fd);
        return round;
      };
    };
    auto through_client = [this, inside, length] {
      const File file = must(client_.open(inside), "open");
      return throughput(length, [&] { read_whole(file, buffer_); });
    };
    const std::string mounted = paths_.mount + paths_.cold_namespace + "/cold.bin";
    const bool any = wanted("cold_seq_client") || wanted("cold_seq_mount") || wanted("cold_seq_client_source_in_page_cache");
    if (any) fill_tier(length, [&] {
      new_version();
      through_client();
    });
    add("cold_seq_client", "GB/s", Better::higher, 0.8,
        {{"client", make_cold, through_client}, {"source, page cache dropped", make_cold, read_path(source)}});
    add("cold_seq_mount", "GB/s", Better::higher, 0.8,
        {{"mount", make_cold, read_path(mounted)}, {"source, page cache dropped", make_cold, read_path(source)}});
    add("cold_seq_client_source_in_page_cache", "GB/s", Better::higher, 0,
        {{"client", new_version, through_client}, {"source in page cache", {}, read_path(source)}});
  }

  // Reads until the tier is full, as it is in production: memory that it never used before is several times slower.
  void fill_tier(std::uint64_t length, const std::function<void()>& read_new_version) {
    const std::vector<WorkerStatus> workers = must(client_.workers(), "workers");
    const std::uint64_t capacity = workers.empty() ? 0 : workers[0].capacity_bytes;
    std::fprintf(stderr, "  filling the memory tier ...\n");
    for (std::uint64_t read = 0; read <= capacity; read += length) read_new_version();
  }

  void metadata() {
    auto small = [](const std::string& root, int i) { return root + "/small/f" + std::to_string(i); };
    const std::string inside = in_namespace("");
    const std::string root = inside.substr(0, inside.size() - 1);
    auto stat_path = [small](const std::string& base) {
      return [small, base] {
        return rate(small_files, [&](int i) {
          struct stat status {};
          if (::stat(small(base, i).c_str(), &status) != 0) fail("stat " + small(base, i));
        });
      };
    };
    auto read_small = [this, small](const std::string& base) {
      return [this, small, base] {
        return rate(small_files, [&](int i) {
          const int fd = open_or_fail(small(base, i));
          if (::read(fd, buffer_.data(), mebibyte) <= 0) fail("read");
          ::close(fd);
        });
      };
    };
    auto client_read = [this, small, root] {
      return rate(small_files, [&](int i) {
        const File file = must(client_.open(small(root, i)), "open");
        must(file.pread(buffer_, 0), "read");
      });
    };
    auto client_stat = [this, small, root] {
      return rate(small_files, [&](int i) { must(client_.stat(small(root, i)), "stat"); });
    };
    read_small(in_mount(""))();
    add("stat_mount", "ops/s", Better::higher, 0, {{"mount", {}, stat_path(in_mount(""))}, {"source", {}, stat_path(paths_.source)}});
    add("stat_client", "ops/s", Better::higher, 0, {{"client", {}, client_stat}, {"source", {}, stat_path(paths_.source)}});
    add("small_4k_open_read_close_mount", "ops/s", Better::higher, 0,
        {{"mount", {}, read_small(in_mount(""))}, {"source", {}, read_small(paths_.source)}});
    add("small_4k_open_read_close_client", "ops/s", Better::higher, 0,
        {{"client", {}, client_read}, {"source", {}, read_small(paths_.source)}});
  }

  Paths paths_;
  Client client_;
  std::vector<std::byte> buffer_;
  std::vector<Measurement> results_;
};

}  // namespace
}  // namespace hearth::bench

int main(int argc, char** argv) {
  hearth::bench::Paths paths;
  std::string json, markdown;
  std::map<std::string, std::string*> flags{
      {"--master", &paths.master}, {"--namespace", &paths.name_space}, {"--mount", &paths.mount},
      {"--cold-namespace", &paths.cold_namespace},
      {"--source", &paths.source}, {"--tmpfs", &paths.tmpfs},          {"--only", &paths.only},
      {"--json", &json},           {"--markdown", &markdown}};
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::string(argv[i]) == "--rounds") {
      paths.rounds = std::max(1, std::atoi(argv[i + 1]));
    } else if (auto flag = flags.find(argv[i]); flag != flags.end()) {
      *flag->second = argv[i + 1];
    } else {
      hearth::bench::fail(std::string("unknown flag ") + argv[i] + "; see bench/run");
    }
  }
  hearth::bench::ReadBench bench(paths);
  const auto results = bench.run();
  std::ofstream(json.empty() ? "/dev/null" : json) << hearth::bench::to_json(results);
  std::ofstream(markdown.empty() ? "/dev/stdout" : markdown) << hearth::bench::to_markdown(results);
  return 0;
}
