// Many small files, opened, read and closed in shuffled order, beside the same loop on tmpfs. Started by bench/small.
#include "bench/measure.h"

#include <hearth/client.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace hearth::bench {
namespace {

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "small_bench: %s\n", what.c_str());
  std::exit(1);
}

std::uint64_t resident_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stoull(line.substr(8));
  }
  return 0;
}

struct Options {
  std::string master, name_space, mount, tmpfs;
  int count = 100'000;
  std::size_t bytes = 4096;
  int rounds = 5;
};

class SmallBench {
 public:
  explicit SmallBench(Options options) : options_(std::move(options)), order_(static_cast<std::size_t>(options_.count)), buffer_(options_.bytes + 1) {
    std::iota(order_.begin(), order_.end(), 0);
    std::shuffle(order_.begin(), order_.end(), std::mt19937(42));
  }

  std::vector<Measurement> run() {
    ClientOptions connect;
    connect.master = options_.master;
    Result<Client> client = Client::connect(connect);
    if (!client) fail(client.error().to_string());
    warm(*client);
    const std::string size = std::to_string(options_.bytes >> 10) + "k";
    std::vector<Measurement> out;
    Contender through_client{"client", {}, [&] { return shuffled([&](int i) { read_through(*client, i); }); }};
    Contender on_tmpfs{"tmpfs", {}, [&] { return shuffled([&](int i) { read_file(path(options_.tmpfs, i)); }); }};
    Contender on_mount{"mount", {}, [&] { return shuffled([&](int i) { read_file(path(options_.mount, i)); }); }};
    const std::byte* memory = mapped_copy();
    Contender copied{"copy from mapped memory", {}, [&] {
      return shuffled([&](int i) {
        std::memcpy(buffer_.data(), memory + static_cast<std::size_t>(i) * options_.bytes, options_.bytes);
        keep(buffer_.data());
      });
    }};
    out.push_back(measure("small_" + size + "_client", "us p50", Better::lower, 1.0, options_.rounds, {through_client, on_tmpfs, copied}));
    if (!options_.mount.empty()) {
      for (const int i : order_) read_file(path(options_.mount, i));
      out.push_back(measure("small_" + size + "_mount", "us p50", Better::lower, 2.0, options_.rounds, {on_mount, on_tmpfs}));
    }
    return out;
  }

 private:
  static std::string path(const std::string& root, int i) { return root + "/d" + std::to_string(i % 100) + "/f" + std::to_string(i); }

  Round shuffled(const std::function<void(int)>& read) {
    return latency(options_.count, [&](int i) { read(order_[static_cast<std::size_t>(i)]); });
  }

  void read_through(const Client& client, int i) {
    const Result<File> file = client.open(path(options_.name_space, i));
    if (!file) fail(file.error().to_string());
    const Result<std::size_t> got = file->pread(buffer_, 0);
    if (!got || *got != options_.bytes) fail(got ? "a short read" : got.error().to_string());
    keep(buffer_.data());
  }

  void read_file(const std::string& name) {
    const int fd = ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) fail(name + ": " + std::strerror(errno));
    if (::read(fd, buffer_.data(), buffer_.size()) != static_cast<ssize_t>(options_.bytes)) fail("a short read of " + name);
    ::close(fd);
    keep(buffer_.data());
  }

  const std::byte* mapped_copy() const {
    const std::size_t length = options_.bytes * static_cast<std::size_t>(options_.count);
    void* memory = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) fail("no memory");
    return static_cast<const std::byte*>(memory);
  }

  // Two rounds: the first learns where the files lie, the second verifies them; both may still ask the worker.
  void warm(const Client& client) {
    const std::uint64_t before = resident_kib();
    for (int round = 0; round < 2; ++round) {
      for (const int i : order_) read_through(client, i);
    }
    const std::uint64_t after = resident_kib();
    const ReadCounters first = client.counters();
    for (const int i : order_) read_through(client, i);
    const ReadCounters second = client.counters();
    const std::uint64_t wanted = options_.bytes * static_cast<std::uint64_t>(options_.count);
    std::printf("%d files of %zu bytes: %llu of %llu bytes of the third round came without asking; client memory +%.1f MiB (%.0f bytes per file)\n",
                options_.count, options_.bytes, static_cast<unsigned long long>(second.mapped_bytes - first.mapped_bytes),
                static_cast<unsigned long long>(wanted), static_cast<double>(after - before) / 1024,
                static_cast<double>(after - before) * 1024 / options_.count);
  }

  const Options options_;
  std::vector<int> order_;
  std::vector<std::byte> buffer_;
};

}  // namespace
}  // namespace hearth::bench

int main(int argc, char** argv) {
  hearth::bench::Options options;
  std::string json;
  std::map<std::string, std::string*> flags{{"--master", &options.master}, {"--namespace", &options.name_space}, {"--mount", &options.mount},
                                            {"--tmpfs", &options.tmpfs}, {"--json", &json}};
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--count") options.count = std::atoi(argv[i + 1]);
    else if (name == "--bytes") options.bytes = static_cast<std::size_t>(std::atoll(argv[i + 1]));
    else if (name == "--rounds") options.rounds = std::atoi(argv[i + 1]);
    else if (auto flag = flags.find(name); flag != flags.end()) *flag->second = argv[i + 1];
    else hearth::bench::fail("unknown flag " + name + "; see bench/small");
  }
  const auto results = hearth::bench::SmallBench(options).run();
  std::ofstream(json.empty() ? "/dev/null" : json) << hearth::bench::to_json(results);
  std::fputs(hearth::bench::to_markdown(results).c_str(), stdout);
  return 0;
}
