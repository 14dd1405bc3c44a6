// hearth-fsx --path DIR [--second DIR2] [--ops N] [--seconds T] [--seed S] [--files K] [--max-size BYTES]
//            [--ways buffered,direct,mmap] [--lacks fallocate,punch-hole,zero-range,link] [--break N]
//
// Random operations on a few files below DIR, compared with a model. --second is another mount of the same tree: files
// are used there after their close. --break N flips a byte unseen before operation N, to see that it is found. 0:
// nothing found; 1: a mismatch, with the seed, the operation and the last ones on that file; 2: the command line is
// wrong.
#include "tests/posix/fsx.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <random>

namespace {

using hearth::fsx::Options;

const hearth::fsx::Tester* current = nullptr;

std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> found;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t comma = std::min(text.find(',', begin), text.size());
    found.push_back(text.substr(begin, comma - begin));
    begin = comma + 1;
  }
  return found;
}

bool known(const std::vector<std::string>& given, const std::vector<std::string>& all) {
  return std::all_of(given.begin(), given.end(),
                     [&](const auto& word) { return std::count(all.begin(), all.end(), word) > 0; });
}

// A sentence when something is wrong.
std::string parse(int argc, char** argv, Options& options) {
  std::string path, second;
  bool counted = false;
  std::random_device device;
  options.seed = device() % 1'000'000;
  for (int i = 1; i < argc; i += 2) {
    const std::string flag = argv[i];
    if (i + 1 == argc) return flag + " needs a value";
    const std::string value = argv[i + 1];
    const auto number = [&] { return std::strtoull(value.c_str(), nullptr, 10); };
    if (flag == "--path")
      path = value;
    else if (flag == "--second")
      second = value;
    else if (flag == "--ops")
      options.operations = number(), counted = true;
    else if (flag == "--seconds")
      options.seconds = std::strtod(value.c_str(), nullptr);
    else if (flag == "--seed")
      options.seed = number();
    else if (flag == "--files")
      options.files = number();
    else if (flag == "--max-size")
      options.max_size_bytes = number();
    else if (flag == "--ways")
      options.ways = words(value);
    else if (flag == "--lacks")
      options.lacks = words(value);
    else if (flag == "--break")
      options.break_at = number();
    else
      return "unknown flag " + flag;
  }
  if (path.empty()) return "--path DIR is needed";
  options.mounts = {path};
  if (!second.empty()) options.mounts.push_back(second);
  if (options.seconds > 0 && !counted) options.operations = std::numeric_limits<std::uint64_t>::max() - 1;
  if (options.files == 0 || options.max_size_bytes < 8192 || options.max_size_bytes % 4096 != 0) {
    return "--files is at least 1, --max-size a multiple of 4096 from 8192 on";
  }
  if (!known(options.ways, {"buffered", "direct", "mmap"})) return "--ways knows buffered, direct and mmap";
  if (!known(options.lacks, {"fallocate", "punch-hole", "zero-range", "link"})) {
    return "--lacks knows fallocate, punch-hole, zero-range and link";
  }
  return "";
}

void on_sigbus(int) {
  std::cerr << "hearth-fsx: " << current->describe_fault() << std::endl;
  ::_exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  const std::string wrong = parse(argc, argv, options);
  if (!wrong.empty()) {
    std::cerr << "hearth-fsx: " << wrong << "\n";
    return 2;
  }
  std::cout << "hearth-fsx: --seed " << options.seed << std::endl;
  const auto start = std::chrono::steady_clock::now();
  try {
    hearth::fsx::Tester tester(options);
    current = &tester;
    std::signal(SIGBUS, on_sigbus);
    tester.run();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    std::cout << "hearth-fsx: " << tester.done() << " operations in " << took.count() << " s: " << tester.counts()
              << "\n";
  } catch (const hearth::fsx::Mismatch& found) {
    std::cout << "hearth-fsx: --seed " << options.seed << ", " << found.what() << std::endl;
    return 1;
  }
  return 0;
}
