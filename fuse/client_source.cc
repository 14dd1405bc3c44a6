#include "fuse/client_source.h"

#include "fuse/mount.h"

#include <utility>

namespace hearth {
namespace {

class ClientFile final : public SourceFile {
 public:
  explicit ClientFile(File file) : file_(std::move(file)) {}
  const FileStatus& status() const override { return file_.status(); }
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

class ClientSource final : public Source {
 public:
  explicit ClientSource(Client client) : client_(std::move(client)) {}

  Result<FileStatus> stat(const std::string& path) override { return client_.stat(path); }
  Result<DirectoryPage> list(const std::string& path, const std::string& after, std::size_t limit) override {
    return client_.list(path, after, limit);
  }
  Result<std::shared_ptr<SourceFile>> open(const std::string& path) override {
    TRY(file, client_.open(path));
    return std::shared_ptr<SourceFile>(std::make_shared<ClientFile>(std::move(file)));
  }
  void forget(const std::string& path) override { client_.forget(path); }

  Result<std::string> locations(const std::string& path) override {
    TRY(blocks, client_.locations(path));
    std::string text;
    for (const auto& block : blocks) text += describe(block);
    return text;
  }

  Result<Capacity> capacity() override {
    TRY(workers, client_.workers());
    TRY(master, client_.master_status());
    Capacity capacity;
    capacity.files = master.inode_count;
    for (const auto& worker : workers) {
      if (worker.state == "lost") continue;
      capacity.total_bytes += worker.capacity_bytes;
      capacity.used_bytes += worker.used_bytes;
    }
    return capacity;
  }

  Result<std::vector<std::string>> store_uris() override {
    TRY(attachments, client_.attachments());
    std::vector<std::string> uris;
    for (auto& attachment : attachments) uris.push_back(std::move(attachment.uri));
    return uris;
  }

 private:
  Client client_;
};

}  // namespace

std::unique_ptr<Source> make_client_source(Client client) {
  return std::make_unique<ClientSource>(std::move(client));
}

// Here and not beside the other start(): so a test over another Source links without the client.
Result<std::unique_ptr<Mount>> Mount::start(MountOptions options, Client client) {
  return start(std::move(options), make_client_source(std::move(client)));
}

}  // namespace hearth
