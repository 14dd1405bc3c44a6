// Reads from a worker over TCP, with one connection and with several. Started by bench/remote, which makes the data and a
// cluster whose workers have no Unix socket; prints a Markdown table.
//
//   hearth-remote-bench MASTER FILE ROUNDS    FILE is cached by the worker already
#include "bench/measure.h"

#include <hearth/client.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

namespace hearth::bench {
namespace {

constexpr std::size_t mebibyte = 1U << 20;
constexpr std::size_t small_read = 4096;
constexpr int small_reads = 2'000;
constexpr int small_reads_beside = 300;

template <class T>
T must(Result<T> result, const std::string& what) {
  if (result) return std::move(result).value();
  std::fprintf(stderr, "remote_bench: %s: %s\n", what.c_str(), result.error().to_string().c_str());
  std::exit(1);
}

// One client with its own connections.
class Remote {
 public:
  Remote(const std::string& master, const std::string& path, std::uint32_t connections)
      : connections_(connections), client_(must(connect(master, connections), "connect")),
        file_(must(client_.open(path), "open " + path)) {}

  std::string name() const { return std::to_string(connections_) + (connections_ == 1 ? " connection" : " connections"); }

  Round sequential(std::size_t piece) {
    std::vector<std::byte> buffer(piece);
    return throughput(file_.status().length_bytes, [&] { read_from(buffer, 0, file_.status().length_bytes); });
  }
  // `threads` readers, each of its own part of the file.
  Round parallel(unsigned threads, std::size_t piece) {
    const std::uint64_t part = file_.status().length_bytes / threads;
    return throughput(part * threads, [&] {
      std::vector<std::jthread> readers;
      for (unsigned i = 0; i < threads; ++i) {
        readers.emplace_back([this, i, part, piece] {
          std::vector<std::byte> buffer(piece);
          read_from(buffer, i * part, (i + 1) * part);
        });
      }
    });
  }
  Round small() {
    return latency(small_reads, [&](int i) { read_small(i); });
  }
  // Small reads while two threads of this client ask for 64 MiB at a time.
  Round small_beside_large() {
    std::atomic<bool> stop{false};
    std::vector<std::jthread> readers;
    for (int i = 0; i < 2; ++i) {
      readers.emplace_back([this, &stop] {
        std::vector<std::byte> buffer(64 * mebibyte);
        while (!stop) read_from(buffer, 0, buffer.size());
      });
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const Round round = latency(small_reads_beside, [&](int i) { read_small(i); });
    stop = true;
    return round;
  }

 private:
  static Result<Client> connect(const std::string& master, std::uint32_t connections) {
    ClientOptions options;
    options.master = master;
    options.connections_per_worker = connections;
    options.direct_store_reads = false;
    return Client::connect(options);
  }
  void read_from(std::vector<std::byte>& buffer, std::uint64_t at, std::uint64_t end) {
    while (at < end) {
      const std::span<std::byte> into(buffer.data(), std::min<std::uint64_t>(buffer.size(), end - at));
      at += must(file_.pread(into, at), "read");
    }
  }
  void read_small(int i) {
    std::byte buffer[small_read];
    // Never a neighbour of the one before: a sequential reader would be served from readahead.
    const std::uint64_t at = static_cast<std::uint64_t>(i) * 7919 * small_read % (file_.status().length_bytes - small_read);
    must(file_.pread(buffer, at), "small read");
  }

  std::uint32_t connections_;
  Client client_;
  File file_;
};

std::vector<Contender> contenders(std::vector<Remote*> remotes, std::function<Round(Remote&)> work) {
  std::vector<Contender> out;
  for (Remote* remote : remotes) out.push_back({remote->name(), {}, [remote, work] { return work(*remote); }});
  return out;
}

void print_table(const std::vector<Measurement>& results) {
  std::printf("| measurement | unit |");
  for (const Summary& s : results[0].contenders) std::printf(" %s |", s.name.c_str());
  std::printf("\n|---|---|%s\n", "---|---|---|");
  for (const Measurement& m : results) {
    std::printf("| %s | %s |", m.name.c_str(), m.unit.c_str());
    for (const Summary& s : m.contenders) {
      std::printf(" %.3g [%.3g-%.3g]", s.median, s.low, s.high);
      if (s.p99 > 0) std::printf(" p99 %.3g", s.p99);
      std::printf(" |");
    }
    std::printf("\n");
  }
}

}  // namespace
}  // namespace hearth::bench

int main(int argc, char** argv) {
  using namespace hearth::bench;
  if (argc != 4) {
    std::fprintf(stderr, "usage: hearth-remote-bench MASTER FILE ROUNDS; see bench/remote\n");
    return 2;
  }
  Remote four(argv[1], argv[2], 4), two(argv[1], argv[2], 2), one(argv[1], argv[2], 1);
  const std::vector<Remote*> all{&one, &two, &four};
  const int rounds = std::max(1, std::atoi(argv[3]));
  std::vector<Measurement> results;
  results.push_back(measure("remote_seq_1m", "GB/s", Better::higher, 0, rounds,
                            contenders(all, [](Remote& r) { return r.sequential(mebibyte); })));
  results.push_back(measure("remote_64m_pieces", "GB/s", Better::higher, 0, rounds,
                            contenders(all, [](Remote& r) { return r.sequential(64 * mebibyte); })));
  results.push_back(measure("remote_4_readers_8m", "GB/s", Better::higher, 0, rounds,
                            contenders(all, [](Remote& r) { return r.parallel(4, 8 * mebibyte); })));
  results.push_back(measure("remote_rand_4k", "us p50", Better::lower, 0, rounds,
                            contenders(all, [](Remote& r) { return r.small(); })));
  results.push_back(measure("remote_rand_4k_beside_large", "us p50", Better::lower, 0, rounds,
                            contenders(all, [](Remote& r) { return r.small_beside_large(); })));
  print_table(results);
  return 0;
}
