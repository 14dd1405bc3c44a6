#include "fuse/client_source.h"

#include "common/file_io.h"
#include "common/log.h"
#include "common/object_identity.h"
#include "fuse/draft_source.h"
#include "fuse/mount.h"

#include <fcntl.h>

#include <atomic>
#include <utility>

namespace hearth {
namespace {

class ClientFile final : public SourceFile {
 public:
  ClientFile(File file, FileStatus status) : file_(std::move(file)), status_(std::move(status)) {}
  const FileStatus& status() const override { return status_; }
  Result<std::size_t> pread(std::span<std::byte> into, std::uint64_t offset) override {
    return file_.pread(into, offset);
  }
  Result<ReadView> view(std::uint64_t offset, std::size_t length) override { return file_.read_view(offset, length); }
  Result<MappedBlock> map() override { return file_.map(); }
  Result<std::uint64_t> load(std::uint64_t offset, std::uint64_t length) override {
    return file_.load(offset, length);
  }

 private:
  File file_;
  const FileStatus status_;  // with the mount's inode number
};

std::string describe(const BlockPlacement& block) {
  const std::string span = block.block_id + " start=" + std::to_string(block.start_bytes) +
                           " length=" + std::to_string(block.length_bytes);
  std::string text;
  for (const auto& replica : block.replicas) {
    text += span + " worker=" + replica.address + " tier=" + replica.tier +
            " resident=" + std::to_string(replica.resident_bytes) + (replica.complete ? " complete\n" : " partial\n");
  }
  return text.empty() ? span + " not cached\n" : text;
}

// A change of which the master answers only when others were told: counted while it is under way.
class UnderWay {
 public:
  explicit UnderWay(std::atomic<std::size_t>& count) : count_(count) { count_.fetch_add(1, std::memory_order_relaxed); }
  ~UnderWay() { count_.fetch_sub(1, std::memory_order_relaxed); }
  UnderWay(const UnderWay&) = delete;
  UnderWay& operator=(const UnderWay&) = delete;

 private:
  std::atomic<std::size_t>& count_;
};

// Of a store that has no limit: so much that no program thinks it too small, in numbers that every program can add up.
Capacity unlimited() {
  constexpr std::uint64_t bytes = 1ULL << 50;  // 1 PiB
  constexpr std::uint64_t files = 1ULL << 32;
  return {.total_bytes = bytes, .free_bytes = bytes, .available_bytes = bytes, .files = files, .free_files = files};
}

class ClientSource final : public Source {
 public:
  ClientSource(Client client, InodeNumbers numbers) : client_(std::move(client)), numbers_(numbers) {}

  Result<FileStatus> stat(const std::string& path) override {
    TRY(status, client_.stat(path));
    number(status);
    return status;
  }
  Result<DirectoryPage> list(const std::string& path, const std::string& after, std::size_t limit) override {
    TRY(page, client_.list(path, after, limit));
    for (DirectoryItem& item : page.items) number(item.status);
    return page;
  }
  Result<std::shared_ptr<SourceFile>> open(const std::string& path) override {
    TRY(file, client_.open(path));
    FileStatus status = file.status();
    number(status);
    return std::shared_ptr<SourceFile>(std::make_shared<ClientFile>(std::move(file), std::move(status)));
  }
  void forget(const std::string& path) override { client_.forget(path); }

  Result<std::string> locations(const std::string& path) override {
    TRY(blocks, client_.locations(path));
    std::string text;
    for (const auto& block : blocks) text += describe(block);
    return text;
  }

  Result<Changed> change(const Change& change, const Caller& caller) override {
    const UnderWay counted(changes_);
    TRY(changed, client_.change(change, caller));
    if (changed.status) number(*changed.status);
    return changed;
  }
  Result<OpenedInPlace> open_in_place(const OpenForWriting& how, const Caller& caller) override {
    TRY(file, client_.open_for_writing(how, caller));
    OpenedInPlace opened;
    opened.version = file.version();
    opened.is_new = file.is_new();
    opened.fd = UniqueFd(::fcntl(file.fd(), F_DUPFD_CLOEXEC, 0));
    if (!opened.fd) return system_call_failed(how.path, "duplicating its descriptor");
    if (file.is_staged()) {
      opened.publish = [this, file](const std::string& path) {
        const UnderWay counted(changes_);
        return file.publish(path);
      };
    }
    return opened;
  }
  Result<std::string> xattr(const std::string& path, const std::string& name, const Caller& caller) override {
    return client_.xattr(path, name, caller);
  }
  Result<std::vector<std::string>> xattr_names(const std::string& path, const Caller& caller) override {
    return client_.xattr_names(path, caller);
  }

  std::shared_ptr<LockSession> locks() override { return client_.locks(); }
  void on_changes(ChangeHook hook) override {
    const Status set = client_.on_changes(std::move(hook));
    if (!set) log_warn("mount_not_told_of_changes", {{"why", set.error().message()}});
  }
  std::size_t changes_under_way() const override { return changes_.load(std::memory_order_relaxed); }

  Result<Capacity> capacity(const std::string& path) override {
    TRY(space, client_.space(path));
    if (space.without_limit) return unlimited();
    Capacity capacity;
    capacity.total_bytes = space.total_bytes;
    capacity.free_bytes = space.free_bytes;
    capacity.available_bytes = space.available_bytes;
    capacity.files = space.files;
    capacity.free_files = space.free_files;
    return capacity;
  }

  Result<std::vector<std::string>> store_uris() override {
    TRY(attachments, client_.attachments());
    std::vector<std::string> uris;
    for (auto& attachment : attachments) uris.push_back(std::move(attachment.uri));
    return uris;
  }

 private:
  // Where files can be changed an object keeps its number under all names and versions, as its own file system has it.
  void number(FileStatus& status) const {
    if (numbers_ == InodeNumbers::of_names || !status.writable) return;
    const std::uint64_t object = object_number(status.version);
    constexpr unsigned attachment_shift = 48;
    if (object != 0) status.inode = object ^ (static_cast<std::uint64_t>(status.attachment) << attachment_shift);
  }

  Client client_;
  std::atomic<std::size_t> changes_{0};
  const InodeNumbers numbers_;
};

}  // namespace

std::unique_ptr<Source> make_client_source(Client client, InodeNumbers numbers) {
  return std::make_unique<ClientSource>(std::move(client), numbers);
}

// Here and not beside the other start(): so a test over another Source links without the client.
Result<std::unique_ptr<Mount>> Mount::start(MountOptions options, Client client) {
  const bool writes = options.writing == MountOptions::Writing::allow;
  auto source = make_client_source(std::move(client), writes ? InodeNumbers::of_objects : InodeNumbers::of_names);
  if (writes) source = std::make_unique<DraftSource>(std::move(source));
  return start(std::move(options), std::move(source));
}

}  // namespace hearth
