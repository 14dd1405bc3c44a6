// Runs a fuzz target without libFuzzer: every file of a corpus directory, and seeded mutations of each.
//
//   fuzz_NAME CORPUS_DIRECTORY [MUTATIONS_PER_FILE]
//
// The seed is printed; HEARTH_FUZZ_SEED=n repeats a run. A crash names the file and the mutation.
#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <unistd.h>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t default_mutations = 500;
constexpr std::size_t max_input_bytes = 1U << 20;

// What runs now, for the signal handler: no allocation there.
char running[512] = "nothing";

extern "C" void tell_what_crashed(int signal) {
  const char prefix[] = "\ncrashed on ";
  (void)!::write(STDERR_FILENO, prefix, sizeof prefix - 1);
  (void)!::write(STDERR_FILENO, running, std::strlen(running));
  (void)!::write(STDERR_FILENO, "\n", 1);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void run(const Bytes& input, const std::string& what) {
  std::snprintf(running, sizeof running, "%s", what.c_str());
  // A copy of exactly this size: reading past its end is found by ASan.
  const Bytes exact(input.begin(), input.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

Bytes read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

class Mutator {
 public:
  Mutator(std::uint64_t seed, const std::vector<Bytes>& corpus) : random_(seed), corpus_(corpus) {}

  Bytes mutate(Bytes input) {
    const std::size_t steps = 1 + below(4);
    for (std::size_t i = 0; i < steps; ++i) step(input);
    if (input.size() > max_input_bytes) input.resize(max_input_bytes);
    return input;
  }

 private:
  std::size_t below(std::size_t bound) { return bound == 0 ? 0 : random_() % bound; }

  void step(Bytes& input) {
    const std::size_t at = below(input.size());
    switch (below(7)) {
      case 0:
        if (!input.empty()) input[at] ^= static_cast<std::uint8_t>(1U << below(8));
        return;
      case 1:
        if (!input.empty()) input[at] = static_cast<std::uint8_t>(random_());
        return;
      case 2:
        input.resize(at);
        return;
      case 3:
        input.insert(input.begin() + static_cast<std::ptrdiff_t>(at), static_cast<std::uint8_t>(random_()));
        return;
      case 4:
        if (!input.empty()) input.erase(input.begin() + static_cast<std::ptrdiff_t>(at));
        return;
      case 5:
        interesting_number(input, at);
        return;
      default: {
        const Bytes& other = corpus_[below(corpus_.size())];
        const std::size_t from = below(other.size());
        input.insert(input.end(), other.begin() + static_cast<std::ptrdiff_t>(from), other.end());
      }
    }
  }

  // Lengths at their edges are what parsers get wrong.
  void interesting_number(Bytes& input, std::size_t at) {
    constexpr std::uint64_t numbers[] = {0,      1,          0x7F,       0x80,       0xFF, 0x7FFF,
                                         0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, ~0ULL};
    const std::uint64_t number = numbers[below(std::size(numbers))];
    const std::size_t width = std::min(std::size_t{1} << below(4), input.size() - at);
    if (width > 0) std::memcpy(input.data() + at, &number, width);
  }

  std::mt19937_64 random_;
  const std::vector<Bytes>& corpus_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || !std::filesystem::is_directory(argv[1])) {
    std::fprintf(stderr, "usage: %s CORPUS_DIRECTORY [MUTATIONS_PER_FILE]\n", argv[0]);
    return 2;
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  if (files.empty()) {
    std::fprintf(stderr, "the corpus %s is empty: add at least one valid input\n", argv[1]);
    return 2;
  }
  const std::size_t mutations = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : default_mutations;
  const char* wanted = std::getenv("HEARTH_FUZZ_SEED");
  const std::uint64_t seed = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : std::random_device()();
  std::fprintf(stderr, "HEARTH_FUZZ_SEED=%llu\n", static_cast<unsigned long long>(seed));
  for (const int signal : {SIGSEGV, SIGABRT, SIGFPE, SIGBUS, SIGILL}) std::signal(signal, tell_what_crashed);

  std::vector<Bytes> corpus;
  for (const auto& file : files) corpus.push_back(read_file(file));
  Mutator mutator(seed, corpus);
  for (std::size_t i = 0; i < files.size(); ++i) {
    run(corpus[i], files[i].string());
    for (std::size_t m = 0; m < mutations; ++m) {
      run(mutator.mutate(corpus[i]), files[i].string() + " mutation " + std::to_string(m));
    }
  }
  std::fprintf(stderr, "%zu files, %zu mutations of each: no crash\n", files.size(), mutations);
  return 0;
}
