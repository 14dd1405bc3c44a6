#include "fuse/testing/fake_source.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace hearth::testing {

std::byte oracle_byte(std::uint64_t version, std::uint64_t offset) {
  std::uint64_t mixed = (offset >> 3) * 0x9E3779B97F4A7C15ULL + version * 0xD1B54A32D192ED03ULL;
  mixed ^= mixed >> 29;
  return static_cast<std::byte>((mixed >> ((offset & 7) * 8)) & 0xFF);
}

std::string oracle_bytes(std::uint64_t version, std::uint64_t offset, std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(oracle_byte(version, offset + i));
  return text;
}

// One open version of a fake file.
class FakeFile final : public SourceFile {
 public:
  FakeFile(FakeSource& source, std::string path, FakeSource::Entry entry)
      : source_(source), path_(std::move(path)), entry_(std::move(entry)) {}

  const FileStatus& status() const override { return entry_.status; }

  Result<std::size_t> pread(std::span<std::byte> into, std::uint64_t offset) override {
    {
      std::unique_lock lock(source_.mutex_);
      if (source_.reads_blocked_) {
        ++source_.blocked_;
        source_.changed_.notify_all();
        source_.changed_.wait(lock, [this] { return !source_.reads_blocked_; });
        --source_.blocked_;
      }
      const auto fault = source_.faults_.find(path_);
      if (fault != source_.faults_.end()) return fault->second;
    }
    const std::uint64_t length = entry_.status.length_bytes;
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), offset < length ? length - offset : 0));
    for (std::size_t i = 0; i < count; ++i) into[i] = oracle_byte(entry_.version, offset + i);
    return count;
  }

  Result<ReadView> view(std::uint64_t, std::size_t) override {
    return Error(Code::unsupported, path_ + " is not in shared memory");
  }

  Result<MappedBlock> map() override {
    std::shared_ptr<UniqueFd> memory = entry_.memory;
    {
      const std::lock_guard lock(source_.mutex_);
      const auto now = source_.entries_.find(path_);
      if (now != source_.entries_.end() && now->second.version == entry_.version) memory = now->second.memory;
    }
    if (!memory) return Error(Code::unavailable, path_ + " is not resident");
    const auto length = static_cast<std::size_t>(entry_.status.length_bytes);
    void* at = ::mmap(nullptr, length, PROT_READ, MAP_SHARED, memory->get(), 0);
    if (at == MAP_FAILED) return Error(Code::io_error, "mmap");
    ++source_.live_mappings_;
    MappedBlock block;
    block.fd = memory->get();
    block.bytes = {static_cast<const std::byte*>(at), length};
    block.hold = std::shared_ptr<const void>(at, [memory, length, &source = source_](void* mapped) {
      ::munmap(mapped, length);
      --source.live_mappings_;
    });
    return block;
  }

  Result<std::uint64_t> load(std::uint64_t, std::uint64_t length) override {
    ++source_.loads_;
    source_.make_resident(path_);
    return length;
  }

 private:
  FakeSource& source_;
  const std::string path_;
  const FakeSource::Entry entry_;
};

FakeSource::FakeSource() { add_directory("/"); }
FakeSource::~FakeSource() = default;

FakeSource::Entry& FakeSource::place(const std::string& path, EntryType type) {
  Entry& entry = entries_[path];
  entry = {};
  entry.version = next_version_++;
  entry.status.inode = next_inode_++;
  entry.status.type = type;
  entry.status.mode = type == EntryType::directory ? 0755 : 0644;
  entry.status.mtime_ns = static_cast<std::int64_t>(entry.version) * 1'000'000'000;
  entry.status.ctime_ns = entry.status.mtime_ns;
  entry.status.version = "v" + std::to_string(entry.version);
  return entry;
}

void FakeSource::add_directory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  place(path, EntryType::directory);
}

std::uint64_t FakeSource::put_file(const std::string& path, std::uint64_t length_bytes, Resident resident) {
  const std::lock_guard lock(mutex_);
  Entry& entry = place(path, EntryType::regular);
  entry.status.length_bytes = length_bytes;
  if (resident == Resident::yes) entry.memory = make_memory(entry.version, length_bytes);
  return entry.version;
}

void FakeSource::put_symlink(const std::string& path, const std::string& target) {
  const std::lock_guard lock(mutex_);
  place(path, EntryType::symlink).status.symlink_target = target;
}

void FakeSource::remove(const std::string& path) {
  const std::lock_guard lock(mutex_);
  entries_.erase(path);
}

void FakeSource::make_resident(const std::string& path) {
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_.at(path);
  if (!entry.memory) entry.memory = make_memory(entry.version, entry.status.length_bytes);
}

void FakeSource::set_ttl(std::chrono::milliseconds ttl) {
  const std::lock_guard lock(mutex_);
  ttl_ = ttl;
}

void FakeSource::set_store_uris(std::vector<std::string> uris) {
  const std::lock_guard lock(mutex_);
  store_uris_ = std::move(uris);
}

void FakeSource::set_block_slack(std::uint64_t slack_bytes) {
  const std::lock_guard lock(mutex_);
  slack_bytes_ = slack_bytes;
}

// Sealed and read only, as a worker's granted block.
std::shared_ptr<UniqueFd> FakeSource::make_memory(std::uint64_t version, std::uint64_t length_bytes) {
  const UniqueFd writable(::memfd_create("hearth-fake-block", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const std::string bytes = oracle_bytes(version, 0, length_bytes);
  if (::ftruncate(writable.get(), static_cast<off_t>(length_bytes + slack_bytes_)) != 0) return nullptr;
  if (::pwrite(writable.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) return nullptr;
  ::fchmod(writable.get(), 0400);
  ::fcntl(writable.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);
  const std::string self = "/proc/self/fd/" + std::to_string(writable.get());
  return std::make_shared<UniqueFd>(::open(self.c_str(), O_RDONLY | O_CLOEXEC));
}

void FakeSource::block_reads() {
  const std::lock_guard lock(mutex_);
  reads_blocked_ = true;
}

void FakeSource::resume_reads() {
  const std::lock_guard lock(mutex_);
  reads_blocked_ = false;
  changed_.notify_all();
}

void FakeSource::wait_for_blocked_reads(int count) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this, count] { return blocked_ >= count; });
}

void FakeSource::fail(const std::string& path, std::optional<Error> error) {
  const std::lock_guard lock(mutex_);
  faults_.erase(path);
  if (error) faults_.emplace(path, std::move(*error));
}

Result<FakeSource::Entry> FakeSource::find(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto fault = faults_.find(path);
  if (fault != faults_.end()) return fault->second;
  const auto found = entries_.find(path);
  if (found == entries_.end()) return Error(Code::not_found, path + " does not exist");
  Entry entry = found->second;
  entry.status.ttl = ttl_;
  return entry;
}

Result<FileStatus> FakeSource::stat(const std::string& path) {
  TRY(entry, find(path));
  return std::move(entry.status);
}

Result<std::shared_ptr<SourceFile>> FakeSource::open(const std::string& path) {
  TRY(entry, find(path));
  return std::shared_ptr<SourceFile>(std::make_shared<FakeFile>(*this, path, std::move(entry)));
}

Result<DirectoryPage> FakeSource::list(const std::string& path, const std::string& after, std::size_t limit) {
  ++lists_;
  CHECK_OK(find(path));
  const std::lock_guard lock(mutex_);
  const std::string prefix = path == "/" ? "/" : path + "/";
  DirectoryPage page;
  for (auto at = entries_.upper_bound(prefix + after); at != entries_.end() && at->first.starts_with(prefix); ++at) {
    const std::string name = at->first.substr(prefix.size());
    if (name.empty() || name.find('/') != std::string::npos) continue;
    if (page.items.size() == limit) {
      page.more = true;
      break;
    }
    page.items.push_back({name, at->second.status});
    page.items.back().status.ttl = ttl_;
  }
  return page;
}

Result<std::string> FakeSource::locations(const std::string& path) {
  CHECK_OK(find(path));
  return "block of " + path + "\n";
}

Result<std::vector<std::string>> FakeSource::store_uris() {
  const std::lock_guard lock(mutex_);
  return store_uris_;
}

}  // namespace hearth::testing
