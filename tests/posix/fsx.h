// hearth-fsx: random operations on a few files, each compared with a model in memory.
//
// All follows from the seed and the flags: the same command line does the same again. One process, one thread; what it
// finds are bytes, sizes and names that are not what was written.
#pragma once

#include "common/fd.h"

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::fsx {

struct Options {
  std::vector<std::string> mounts;  // --path and --second: two mounts of one tree
  std::uint64_t operations = 100'000;
  double seconds = 0;  // 0: until the operations are done
  std::uint64_t seed = 0;
  std::size_t files = 8;
  std::size_t max_size_bytes = 256 << 10;
  std::vector<std::string> ways = {"buffered", "direct", "mmap"};
  std::vector<std::string> lacks;  // fallocate, punch-hole, zero-range, link
  std::uint64_t break_at = 0;      // the operation at which a byte is flipped behind the model's back; 0: never
};

// xorshift*, so that a seed means the same everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ULL + 0x2545F4914F6CDD1DULL) {}
  std::uint64_t next();
  std::size_t below(std::size_t limit) { return limit == 0 ? 0 : next() % limit; }
  bool percent(unsigned chance) { return below(100) < chance; }

 private:
  std::uint64_t state_;
};

struct Step {
  std::uint64_t number = 0;
  const char* what = "";
  std::size_t at = 0, length = 0;
  std::string other;  // a name, or empty
};
std::string to_string(const Step& step);

// The last steps on one file.
class History {
 public:
  void add(Step step) { steps_[count_++ % steps_.size()] = std::move(step); }
  std::string to_string() const;

 private:
  std::array<Step, 20> steps_;
  std::size_t count_ = 0;
};

// An open file: descriptors and a mapping of its whole reach, made when they are first needed.
struct Handle {
  std::size_t mount = 0;
  UniqueFd buffered, direct;
  char* map = nullptr;
};

struct File {
  std::string bytes;
  std::vector<std::string> names;  // empty: unlinked and open
  Handle handle;
  History history;
  std::string label;  // the name it was made with, and a number
};

// What was found, in words, with the file's last steps.
struct Mismatch : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Tester {
 public:
  // Makes a directory of its own below the first mount. Throws Mismatch.
  explicit Tester(Options options);
  ~Tester();
  Tester(const Tester&) = delete;

  // Until the operations or the seconds are over, then compares all there is. Throws Mismatch.
  void run();
  std::uint64_t done() const { return number_; }
  // How often each operation was done: "write 123, read 456, …".
  std::string counts() const;
  // Of a fault while a mapping is touched.
  std::string describe_fault() const;

 private:
  struct Operation {
    const char* name;
    unsigned weight;
    void (Tester::*run)();
    std::uint64_t count = 0;
  };

  // fsx_operations.cc
  void write();
  void append();
  void read();
  void truncate();
  void fallocate();
  void copy();
  void sync();
  void reopen();
  void rename();
  void unlink();
  void link();
  void create();
  void list();
  void look();  // stat
  void flip_a_byte();

  // fsx_files.cc
  File& any_file();
  void open(File& file);
  void open_direct(File& file);
  void map(File& file);
  void close(File& file);
  void close_elsewhere(File& file, std::size_t mount);  // before an operation on its names by another mount
  std::size_t mount_for_names(const File& file);
  void forget_if_gone(File& file);  // without a name and a handle
  void drop_name(const std::string& name);
  void write_bytes(File& file, std::size_t at, std::string_view bytes);
  void read_bytes(File& file, std::size_t at, std::size_t length);
  void compare_all(File& file);
  void compare_before_loss(File& file, std::size_t from);  // of the bytes from there on
  void compare(File& file, std::size_t at, std::string_view actual, std::string_view expected);
  void compare_size(File& file, const char* by, std::uint64_t actual);
  std::string in(std::size_t mount, const std::string& name) const;
  std::string any_name() { return names_[random_.below(names_.size())]; }
  std::size_t any_offset(const File& file);
  std::size_t any_length(std::size_t at);
  std::string_view fresh_bytes(std::size_t length);
  bool has(std::string_view way) const;
  bool lacks(std::string_view feature) const;
  Step& note(File& file, const char* what, std::size_t at = 0, std::size_t length = 0, std::string other = {});
  [[noreturn]] void fail(File& file, const std::string& what);
  // `outcome` is that of a system call; -1 fails with errno.
  template <class Outcome>
  Outcome must(File& file, const char* call, Outcome outcome);
  [[noreturn]] void fail_call(File& file, const char* call);

  // Set once.
  const Options options_;
  const std::size_t page_bytes_ = 4096;
  std::vector<std::string> directories_;  // by mount
  std::vector<std::string> names_;
  std::vector<Operation> operations_;
  unsigned weights_ = 0;

  Random random_;
  std::uint64_t number_ = 0;
  std::uint64_t made_ = 0;
  std::vector<std::unique_ptr<File>> files_;
  std::map<std::string, File*> by_name_;
  const File* touching_ = nullptr;  // whose mapping
  Step step_;
  std::string fresh_, seen_;
  std::unique_ptr<char, void (*)(void*)> aligned_;
};

template <class Outcome>
Outcome Tester::must(File& file, const char* call, Outcome outcome) {
  if (outcome < 0) fail_call(file, call);
  return outcome;
}

}  // namespace hearth::fsx
