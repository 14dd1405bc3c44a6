// The model and what every operation is made of: files with handles, bytes that go in and are compared when they come
// out.
#include "tests/posix/fsx.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>

namespace hearth::fsx {

namespace {

std::string hex(std::string_view bytes, std::size_t around) {
  const std::size_t from = around < 8 ? 0 : around - 8;
  std::ostringstream out;
  for (std::size_t i = from; i < std::min(bytes.size(), from + 32); ++i) {
    constexpr char digits[] = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(bytes[i]);
    out << (i == around ? "[" : " ") << digits[byte >> 4] << digits[byte & 15] << (i == around ? "]" : "");
  }
  return out.str();
}

}  // namespace

std::uint64_t Random::next() {
  state_ ^= state_ >> 12;
  state_ ^= state_ << 25;
  state_ ^= state_ >> 27;
  return state_ * 0x2545F4914F6CDD1DULL;
}

std::string to_string(const Step& step) {
  std::ostringstream out;
  out << "  " << step.number << ": " << step.what;
  if (step.length != 0 || step.at != 0) out << " " << step.at << " + " << step.length;
  if (!step.other.empty()) out << " " << step.other;
  return out.str();
}

std::string History::to_string() const {
  std::string text;
  for (std::size_t i = count_ < steps_.size() ? 0 : count_ - steps_.size(); i < count_; ++i) {
    text += fsx::to_string(steps_[i % steps_.size()]) + "\n";
  }
  return text;
}

Tester::Tester(Options options) : options_(std::move(options)), random_(options_.seed), aligned_(nullptr, std::free) {
  std::string made = options_.mounts[0] + "/hearth-fsx-XXXXXX";
  if (::mkdtemp(made.data()) == nullptr) throw Mismatch(made + ": " + std::strerror(errno));
  for (const std::string& mount : options_.mounts) directories_.push_back(mount + made.substr(made.rfind('/')));
  for (std::size_t i = 0; i < 2 * options_.files; ++i) names_.push_back("n" + std::to_string(i));
  fresh_.resize(options_.max_size_bytes);
  aligned_.reset(static_cast<char*>(std::aligned_alloc(page_bytes_, options_.max_size_bytes + page_bytes_)));
  operations_ = {{"write", 24, &Tester::write},      {"read", 24, &Tester::read},    {"append", 6, &Tester::append},
                 {"truncate", 8, &Tester::truncate}, {"sync", 2, &Tester::sync},     {"reopen", 10, &Tester::reopen},
                 {"rename", 5, &Tester::rename},     {"unlink", 3, &Tester::unlink}, {"create", 5, &Tester::create},
                 {"copy", 4, &Tester::copy},         {"list", 1, &Tester::list},     {"look", 6, &Tester::look}};
  if (!lacks("link")) operations_.push_back({"link", 3, &Tester::link});
  if (!lacks("fallocate") || !lacks("punch-hole") || !lacks("zero-range")) {
    operations_.push_back({"fallocate", 6, &Tester::fallocate});
  }
  for (const Operation& operation : operations_) weights_ += operation.weight;
}

Tester::~Tester() {
  for (auto& file : files_) {
    if (file->handle.map != nullptr) ::munmap(file->handle.map, options_.max_size_bytes);
  }
  files_.clear();
  std::error_code error;
  std::filesystem::remove_all(directories_[0], error);
}

bool Tester::has(std::string_view way) const {
  return std::count(options_.ways.begin(), options_.ways.end(), way) > 0;
}
bool Tester::lacks(std::string_view feature) const {
  return std::count(options_.lacks.begin(), options_.lacks.end(), feature) > 0;
}

void Tester::run() {
  const auto start = std::chrono::steady_clock::now();
  const std::chrono::duration<double> limit(options_.seconds);
  create();
  for (number_ = 1; number_ <= options_.operations; ++number_) {
    if (options_.seconds > 0 && std::chrono::steady_clock::now() - start > limit) break;
    if (number_ == options_.break_at) flip_a_byte();
    std::size_t at = random_.below(weights_);
    for (Operation& operation : operations_) {
      if (at < operation.weight) {
        ++operation.count;
        (this->*operation.run)();
        break;
      }
      at -= operation.weight;
    }
  }
  --number_;
  for (auto& file : files_) {
    if (file->handle.buffered) compare_all(*file);
    if (!file->names.empty()) {
      close(*file);
      for (std::size_t mount = 0; mount < directories_.size(); ++mount) {
        file->handle.mount = mount;
        open(*file);
        compare_all(*file);
        close(*file);
      }
    }
  }
  list();
}

std::string Tester::counts() const {
  std::string text;
  for (const Operation& operation : operations_) {
    text += (text.empty() ? "" : ", ") + std::string(operation.name) + " " + std::to_string(operation.count);
  }
  return text;
}

std::string Tester::describe_fault() const {
  return "SIGBUS: operation " + std::to_string(number_) + " touched bytes of a mapping that are in the file\n" +
         (touching_ == nullptr ? "" : touching_->history.to_string());
}

std::string Tester::in(std::size_t mount, const std::string& name) const {
  return directories_[mount] + "/" + name;
}

File& Tester::any_file() {
  if (files_.empty()) create();
  return *files_[random_.below(files_.size())];
}

Step& Tester::note(File& file, const char* what, std::size_t at, std::size_t length, std::string other) {
  step_ = {number_, what, at, length, std::move(other)};
  file.history.add(step_);
  return step_;
}

void Tester::fail(File& file, const std::string& what) {
  throw Mismatch("operation " + std::to_string(number_) + ", file " + file.label +
                 (file.names.empty() ? " (unlinked)" : " (now " + file.names[0] + ")") + ", mount " +
                 std::to_string(file.handle.mount + 1) + ": " + what + "\nthe last operations on this file:\n" +
                 file.history.to_string());
}

void Tester::fail_call(File& file, const char* call) {
  fail(file, std::string(call) + ": " + std::strerror(errno));
}

void Tester::open(File& file) {
  if (file.handle.buffered) return;
  const std::string& name = file.names[random_.below(file.names.size())];
  note(file, "open", 0, 0, in(file.handle.mount, name));
  file.handle.buffered = UniqueFd(must(file, "open", ::open(in(file.handle.mount, name).c_str(), O_RDWR | O_CLOEXEC)));
  struct stat s = {};
  must(file, "fstat", ::fstat(file.handle.buffered.get(), &s));
  compare_size(file, "a fresh open", static_cast<std::uint64_t>(s.st_size));
}

void Tester::open_direct(File& file) {
  if (file.handle.direct) return;
  const std::string path = "/proc/self/fd/" + std::to_string(file.handle.buffered.get());  // it may have no name
  file.handle.direct = UniqueFd(must(file, "open with O_DIRECT", ::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC)));
}

void Tester::map(File& file) {
  if (file.handle.map != nullptr) return;
  void* map =
      ::mmap(nullptr, options_.max_size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.handle.buffered.get(), 0);
  if (map == MAP_FAILED) fail_call(file, "mmap");
  file.handle.map = static_cast<char*>(map);
}

void Tester::close(File& file) {
  note(file, "close");
  // Either may be the last that holds the file.
  const bool map_last = random_.percent(50);
  Handle& handle = file.handle;
  const auto unmap = [&] {
    if (handle.map != nullptr) ::munmap(std::exchange(handle.map, nullptr), options_.max_size_bytes);
  };
  if (!map_last) unmap();
  handle.direct.reset();
  if (handle.buffered) must(file, "close", ::close(handle.buffered.release()));
  if (map_last) unmap();
}

void Tester::close_elsewhere(File& file, std::size_t mount) {
  if (file.handle.buffered && file.handle.mount != mount) close(file);
}

std::size_t Tester::mount_for_names(const File& file) {
  return file.handle.buffered && random_.percent(50) ? file.handle.mount : random_.below(directories_.size());
}

void Tester::forget_if_gone(File& file) {
  if (!file.names.empty() || file.handle.buffered) return;
  const auto at = std::find_if(files_.begin(), files_.end(), [&](const auto& each) { return each.get() == &file; });
  files_.erase(at);
}

void Tester::drop_name(const std::string& name) {
  File& file = *by_name_.at(name);
  by_name_.erase(name);
  file.names.erase(std::find(file.names.begin(), file.names.end(), name));
  forget_if_gone(file);
}

// Half of them at the places where things go wrong: the end, edges of pages and of larger units.
std::size_t Tester::any_offset(const File& file) {
  const std::size_t limit = options_.max_size_bytes;
  std::size_t at = 0;
  switch (random_.below(8)) {
    case 0:
      at = file.bytes.size();
      break;
    case 1:
      at = file.bytes.size() + random_.below(2 * page_bytes_) - std::min(page_bytes_, file.bytes.size());
      break;
    case 2:
      at = (1 + random_.below(limit / page_bytes_)) * page_bytes_ - 2 + random_.below(5);
      break;
    case 3:
      at = random_.below(limit / (128 << 10) + 1) * (128 << 10);
      break;
    default:
      at = random_.below(std::max<std::size_t>(file.bytes.size(), 1));
      break;
  }
  return at < limit ? at : random_.below(limit);
}

std::size_t Tester::any_length(std::size_t at) {
  constexpr std::size_t largest = 64 << 10;
  const std::size_t most = random_.percent(25) ? largest : std::size_t{1} << random_.below(14);
  return std::min(1 + random_.below(most), options_.max_size_bytes - at);
}

std::string_view Tester::fresh_bytes(std::size_t length) {
  for (std::size_t i = 0; i < length; i += 8) {
    const std::uint64_t word = random_.next() | 0x0101010101010101ULL;  // no zeros: those are holes
    std::memcpy(fresh_.data() + i, &word, std::min<std::size_t>(8, length - i));
  }
  return {fresh_.data(), length};
}

void Tester::compare_size(File& file, const char* by, std::uint64_t actual) {
  if (actual == file.bytes.size()) return;
  fail(file, std::string("mismatch: ") + by + " says " + std::to_string(actual) + " bytes, expected " +
                 std::to_string(file.bytes.size()));
}

void Tester::compare(File& file, std::size_t at, std::string_view actual, std::string_view expected) {
  if (actual == expected) return;
  if (actual.size() < expected.size() && expected.starts_with(actual)) {
    fail(file, "mismatch: " + std::to_string(actual.size()) + " bytes read at offset " + std::to_string(at) +
                   ", expected " + std::to_string(expected.size()));
  }
  const auto first =
      static_cast<std::size_t>(std::mismatch(actual.begin(), actual.end(), expected.begin()).first - actual.begin());
  std::size_t last = actual.size() - 1;
  while (last > first && actual[last] == expected[last]) --last;
  fail(file, "mismatch: offsets " + std::to_string(at + first) + " to " + std::to_string(at + last) + " of " +
                 std::to_string(file.bytes.size()) + "\n  expected " + hex(expected, first) + "\n  actual   " +
                 hex(actual, first));
}

void Tester::compare_all(File& file) {
  note(file, "compare all");
  seen_.resize(file.bytes.size() + 1);
  std::size_t have = 0;
  while (have < seen_.size()) {
    const ssize_t n =
        must(file, "pread",
             ::pread(file.handle.buffered.get(), seen_.data() + have, seen_.size() - have, static_cast<off_t>(have)));
    if (n == 0) break;
    have += static_cast<std::size_t>(n);
  }
  if (have > file.bytes.size())
    fail(file, "mismatch: there are bytes beyond the end at " + std::to_string(file.bytes.size()));
  compare(file, 0, std::string_view(seen_).substr(0, have), file.bytes);
}

// Not always: comparing also brings the bytes into caches, and some faults need them to be elsewhere.
void Tester::compare_before_loss(File& file, std::size_t from) {
  if (from < file.bytes.size() && file.handle.buffered && random_.percent(50)) compare_all(file);
}

}  // namespace hearth::fsx
