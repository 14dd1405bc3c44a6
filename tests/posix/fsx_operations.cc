// The operations of hearth-fsx.
#include "tests/posix/fsx.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

namespace hearth::fsx {

namespace {

off_t offset(std::size_t at) {
  return static_cast<off_t>(at);
}

void put(std::string& bytes, std::size_t at, std::string_view piece) {
  if (bytes.size() < at + piece.size()) bytes.resize(at + piece.size());
  std::copy(piece.begin(), piece.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
}

void clear(std::string& bytes, std::size_t at, std::size_t length) {
  const std::size_t end = std::min(bytes.size(), at + length);
  if (at < end)
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.begin() + static_cast<std::ptrdiff_t>(end), '\0');
}

}  // namespace

void Tester::write() {
  File& file = any_file();
  open(file);
  const std::string& way = options_.ways[random_.below(options_.ways.size())];
  std::size_t at = any_offset(file), length = any_length(at);
  if (way == "direct") {
    at -= at % page_bytes_;
    length = std::min((length + page_bytes_ - 1) / page_bytes_ * page_bytes_, options_.max_size_bytes - at);
    note(file, "direct write", at, length);
    open_direct(file);
    std::memcpy(aligned_.get(), fresh_bytes(length).data(), length);
    const ssize_t n =
        must(file, "pwrite with O_DIRECT", ::pwrite(file.handle.direct.get(), aligned_.get(), length, offset(at)));
    if (n != static_cast<ssize_t>(length)) fail(file, "a direct write took " + std::to_string(n) + " bytes only");
    put(file.bytes, at, {aligned_.get(), length});
  } else if (way == "mmap") {
    if (file.bytes.size() < at + length && random_.percent(50)) {
      note(file, "truncate before a mapped write", at + length);
      must(file, "ftruncate", ::ftruncate(file.handle.buffered.get(), offset(at + length)));
      file.bytes.resize(at + length);
    }
    if (at >= file.bytes.size()) return;
    length = std::min(length, file.bytes.size() - at);
    note(file, "mapped write", at, length);
    map(file);
    const std::string_view bytes = fresh_bytes(length);
    touching_ = &file;
    std::memcpy(file.handle.map + at, bytes.data(), length);
    touching_ = nullptr;
    put(file.bytes, at, bytes);
    if (random_.percent(30)) must(file, "msync", ::msync(file.handle.map, file.bytes.size(), MS_SYNC));
  } else {
    write_bytes(file, at, fresh_bytes(length));
  }
}

void Tester::write_bytes(File& file, std::size_t at, std::string_view bytes) {
  note(file, "write", at, bytes.size());
  const ssize_t n = must(file, "pwrite", ::pwrite(file.handle.buffered.get(), bytes.data(), bytes.size(), offset(at)));
  if (n != static_cast<ssize_t>(bytes.size())) fail(file, "a write took " + std::to_string(n) + " bytes only");
  put(file.bytes, at, bytes);
}

void Tester::append() {
  File& file = any_file();
  open(file);
  const std::size_t at = file.bytes.size();
  if (at == options_.max_size_bytes) return;
  const std::string_view bytes = fresh_bytes(any_length(at));
  note(file, "append", at, bytes.size());
  const int fd = file.handle.buffered.get();
  must(file, "fcntl", ::fcntl(fd, F_SETFL, O_APPEND));
  const ssize_t n = must(file, "write", ::write(fd, bytes.data(), bytes.size()));
  must(file, "fcntl", ::fcntl(fd, F_SETFL, 0));
  if (n != static_cast<ssize_t>(bytes.size())) fail(file, "an append took " + std::to_string(n) + " bytes only");
  put(file.bytes, at, bytes);
}

void Tester::read() {
  File& file = any_file();
  open(file);
  if (random_.percent(20)) return compare_all(file);
  const std::size_t at = any_offset(file);
  read_bytes(file, at, any_length(at));
}

void Tester::read_bytes(File& file, std::size_t at, std::size_t length) {
  const std::string& way = options_.ways[random_.below(options_.ways.size())];
  const auto expected = [&] {
    return at >= file.bytes.size() ? std::string_view() : std::string_view(file.bytes).substr(at, length);
  };
  if (way == "mmap") {
    if (at >= file.bytes.size()) return;
    note(file, "mapped read", at, length);
    map(file);
    touching_ = &file;
    seen_.assign(file.handle.map + at, std::min(length, file.bytes.size() - at));
    touching_ = nullptr;
    compare(file, at, seen_, expected());
    return;
  }
  const bool direct = way == "direct";
  if (direct) {
    at -= at % page_bytes_;
    length = (length + page_bytes_ - 1) / page_bytes_ * page_bytes_;
    open_direct(file);
  }
  note(file, direct ? "direct read" : "read", at, length);
  const int fd = direct ? file.handle.direct.get() : file.handle.buffered.get();
  const ssize_t n = must(file, "pread", ::pread(fd, aligned_.get(), length, offset(at)));
  compare(file, at, {aligned_.get(), static_cast<std::size_t>(n)}, expected());
}

void Tester::truncate() {
  File& file = any_file();
  const std::size_t size = random_.percent(50) ? any_offset(file) : random_.below(options_.max_size_bytes);
  compare_before_loss(file, size);
  if (!file.handle.buffered || (!file.names.empty() && random_.percent(30))) {
    const std::string path =
        in(file.handle.buffered ? file.handle.mount : random_.below(directories_.size()), file.names[0]);
    note(file, "truncate by name", size, 0, path);
    must(file, "truncate", ::truncate(path.c_str(), offset(size)));
  } else {
    note(file, "truncate", size);
    must(file, "ftruncate", ::ftruncate(file.handle.buffered.get(), offset(size)));
  }
  file.bytes.resize(size);
}

void Tester::fallocate() {
  File& file = any_file();
  open(file);
  const std::size_t at = any_offset(file), length = any_length(at);
  const bool keep = random_.percent(50);
  const int flag = keep ? FALLOC_FL_KEEP_SIZE : 0;
  const int fd = file.handle.buffered.get();
  const auto grow = [&] {
    if (!keep && file.bytes.size() < at + length) file.bytes.resize(at + length);
  };
  switch (random_.below(3)) {
    case 0:
      if (lacks("fallocate")) return;
      note(file, keep ? "allocate, keep the size" : "allocate", at, length);
      must(file, "fallocate", ::fallocate(fd, flag, offset(at), offset(length)));
      grow();
      break;
    case 1:
      if (lacks("punch-hole")) return;
      note(file, "punch a hole", at, length);
      must(file, "fallocate", ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset(at), offset(length)));
      clear(file.bytes, at, length);
      break;
    default:
      if (lacks("zero-range")) return;
      note(file, keep ? "zero a range, keep the size" : "zero a range", at, length);
      must(file, "fallocate", ::fallocate(fd, FALLOC_FL_ZERO_RANGE | flag, offset(at), offset(length)));
      clear(file.bytes, at, length);
      grow();
      break;
  }
}

void Tester::copy() {
  File& from = any_file();
  File& to = any_file();
  if (from.bytes.empty()) return;
  // One mount at a time.
  if (to.handle.buffered && !from.handle.buffered) from.handle.mount = to.handle.mount;
  if (from.handle.buffered && !to.handle.buffered) to.handle.mount = from.handle.mount;
  if (!from.handle.buffered && !to.handle.buffered) to.handle.mount = from.handle.mount;
  if (from.handle.mount != to.handle.mount) return;
  open(from);
  open(to);
  const std::size_t at = random_.below(from.bytes.size()), where = any_offset(to);
  const std::size_t length = std::min(any_length(where), from.bytes.size() - at);
  if (&from == &to && at < where + length && where < at + length) return;  // overlaps
  note(from, "copy out", at, length, to.label);
  note(to, "copy in", where, length, from.label);
  loff_t source = offset(at), target = offset(where);
  for (std::size_t done = 0; done < length;) {
    const ssize_t n = must(
        to, "copy_file_range",
        ::copy_file_range(from.handle.buffered.get(), &source, to.handle.buffered.get(), &target, length - done, 0));
    if (n == 0) fail(to, "mismatch: copy_file_range sees the end of " + from.label + " at " + std::to_string(source));
    done += static_cast<std::size_t>(n);
  }
  put(to.bytes, where, std::string(from.bytes, at, length));
}

void Tester::sync() {
  File& file = any_file();
  open(file);
  const bool data_only = random_.percent(50);
  note(file, data_only ? "fdatasync" : "fsync");
  must(file, "fsync", data_only ? ::fdatasync(file.handle.buffered.get()) : ::fsync(file.handle.buffered.get()));
}

void Tester::reopen() {
  File& file = any_file();
  compare_before_loss(file, 0);
  if (file.handle.buffered) close(file);
  if (file.names.empty()) return forget_if_gone(file);
  file.handle.mount = random_.below(directories_.size());
  if (random_.percent(20)) return;  // stays closed for a while
  open(file);
  if (random_.percent(50) || directories_.size() > 1) compare_all(file);
}

void Tester::create() {
  const std::string name = any_name();
  if (by_name_.contains(name) || files_.size() >= options_.files) return;
  files_.push_back(std::make_unique<File>());
  File& file = *files_.back();
  file.label = name + "#" + std::to_string(++made_);
  file.names = {name};
  file.handle.mount = random_.below(directories_.size());
  by_name_[name] = &file;
  const std::string path = in(file.handle.mount, name);
  note(file, "create", 0, 0, path);
  file.handle.buffered =
      UniqueFd(must(file, "create", ::open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0644)));
}

void Tester::rename() {
  File& file = any_file();
  if (file.names.empty()) return;
  const std::string from = file.names[random_.below(file.names.size())], to = any_name();
  const auto found = by_name_.find(to);
  File* replaced = found == by_name_.end() ? nullptr : found->second;
  const std::size_t mount = mount_for_names(file);
  close_elsewhere(file, mount);
  if (replaced != nullptr) close_elsewhere(*replaced, mount);
  if (replaced != nullptr) compare_before_loss(*replaced, 0);
  note(file, "rename", 0, 0, from + " to " + to);
  if (replaced != nullptr && replaced != &file) note(*replaced, "replaced by a rename", 0, 0, file.label);
  must(file, "rename", ::rename(in(mount, from).c_str(), in(mount, to).c_str()));
  if (replaced == &file) return;  // two names of one file: nothing happens
  if (replaced != nullptr) drop_name(to);
  file.names.erase(std::find(file.names.begin(), file.names.end(), from));
  file.names.push_back(to);
  by_name_.erase(from);
  by_name_[to] = &file;
}

void Tester::unlink() {
  File& file = any_file();
  if (file.names.empty()) return;
  const std::string name = file.names[random_.below(file.names.size())];
  const std::size_t mount = mount_for_names(file);
  close_elsewhere(file, mount);
  compare_before_loss(file, 0);
  note(file, "unlink", 0, 0, in(mount, name));
  must(file, "unlink", ::unlink(in(mount, name).c_str()));
  drop_name(name);
}

void Tester::link() {
  File& file = any_file();
  const std::string name = any_name();
  if (file.names.empty() || by_name_.contains(name)) return;
  const std::size_t mount = mount_for_names(file);
  close_elsewhere(file, mount);
  note(file, "link", 0, 0, in(mount, name));
  must(file, "link", ::link(in(mount, file.names[0]).c_str(), in(mount, name).c_str()));
  file.names.push_back(name);
  by_name_[name] = &file;
}

void Tester::look() {
  File& file = any_file();
  struct stat s = {};
  const bool by_handle = file.handle.buffered && (file.names.empty() || random_.percent(50));
  if (by_handle) {
    note(file, "fstat");
    must(file, "fstat", ::fstat(file.handle.buffered.get(), &s));
  } else {
    const std::size_t mount = file.handle.buffered ? file.handle.mount : random_.below(directories_.size());
    const std::string path = in(mount, file.names[random_.below(file.names.size())]);
    note(file, "stat", 0, 0, path);
    must(file, "stat", ::lstat(path.c_str(), &s));
  }
  compare_size(file, by_handle ? "fstat" : "stat", static_cast<std::uint64_t>(s.st_size));
  if (s.st_nlink != file.names.size()) {
    fail(file, "mismatch: " + std::to_string(s.st_nlink) + " links, expected " + std::to_string(file.names.size()));
  }
}

void Tester::list() {
  const std::string& directory = directories_[random_.below(directories_.size())];
  std::multiset<std::string> actual, expected;
  for (const auto& [name, file] : by_name_) expected.insert(name);
  DIR* scan = ::opendir(directory.c_str());
  if (scan == nullptr) throw Mismatch("opendir " + directory + ": " + std::strerror(errno));
  while (const dirent* entry = ::readdir(scan)) {
    if (entry->d_name[0] != '.' || std::strlen(entry->d_name) > 2) actual.insert(entry->d_name);
  }
  ::closedir(scan);
  if (actual == expected) return;
  std::string text =
      "operation " + std::to_string(number_) + ", mismatch of the names in " + directory + "\n  expected";
  for (const std::string& name : expected) text += " " + name;
  text += "\n  actual  ";
  for (const std::string& name : actual) text += " " + name;
  throw Mismatch(text);
}

void Tester::flip_a_byte() {
  const auto largest = std::max_element(files_.begin(), files_.end(),
                                        [](const auto& a, const auto& b) { return a->bytes.size() < b->bytes.size(); });
  if (largest == files_.end() || (*largest)->bytes.empty()) throw Mismatch("there is no byte to flip");
  File& file = **largest;
  open(file);
  const std::size_t at = random_.below(file.bytes.size());
  const char flipped = static_cast<char>(file.bytes[at] ^ 1);
  must(file, "pwrite", ::pwrite(file.handle.buffered.get(), &flipped, 1, offset(at)));
}

}  // namespace hearth::fsx
