// "s3://bucket/prefix": a bucket, or the part of it below a prefix, as an under-store.
//
// What keys look like as files and directories is said in README.md beside this file.
//
// Threads: any. Owns: nothing but its credentials and what it learned of the region; see s3_client.h.
// Fails:   as under_store.h says; each refusal carries the store's own code and request id.
#pragma once

#include "understore/access_probe.h"
#include "understore/plain_store.h"
#include "understore/s3/s3_client.h"
#include "understore/s3/s3_objects.h"
#include "understore/s3/s3_version.h"
#include "understore/store_factory.h"
#include "understore/store_upkeep.h"
#include "understore/tree_mover.h"
#include "understore/under_store.h"

#include <memory>
#include <string>

namespace hearth::s3 {

// Seams of tests; the defaults are the process's own.
struct S3Seams {
  Environment environment = process_environment();
  std::uint64_t single_copy_limit = largest_single_copy;
  std::uint64_t part_of_copy = copy_part_bytes;
  std::optional<std::uint64_t> part_bytes;  // smaller than the option takes
};

class S3Store final : public PlainStore, public AccessProbe, public StoreUpkeep, public TreeMover, public std::enable_shared_from_this<S3Store> {
 public:
  S3Store(S3Options options, const StoreContext& context, Secret customer_key, S3Seams seams);

  std::string_view uri() const override { return client_.options().uri; }
  StoreCapabilities capabilities() const override;

  Task<ObjectInfo> stat(std::string path, Deadline deadline) override;
  Task<std::unique_ptr<Listing>> list(std::string path, Deadline deadline) override;
  Task<> read(std::string path, std::string version, std::uint64_t offset, std::span<std::byte> into, Deadline deadline) override;
  Task<> read_with(std::string path, std::string version, std::uint64_t offset, std::span<std::byte> into, ReadOptions options,
                   Deadline deadline) override;
  Task<ObjectInfo> write(std::string path, std::string content, Deadline deadline) override;
  Task<> remove(std::string path, Deadline deadline) override;
  Task<> rename(std::string from, std::string to, Deadline deadline) override;
  Task<ObjectInfo> make_directory(std::string path, std::uint32_t mode, Deadline deadline) override;
  Task<ObjectInfo> upload(std::string path, StagedContent content, Deadline deadline) override;

  std::string endpoint() const override { return client_.endpoint(); }
  std::vector<std::string> dialled() const override { return {client_.options().proxy.empty() ? endpoint() : client_.options().proxy}; }
  Task<> greet(Deadline deadline) override { return client_.greet(deadline); }
  Task<std::string> find_credentials(Deadline deadline) override;

  // Multipart uploads below the attachment that began more than `older_than` ago are aborted; how many.
  Task<std::uint64_t> sweep_uploads(Duration older_than, Deadline deadline);
  // As the option sweep_uploads_after says; this process's own leftovers always.
  Task<std::uint64_t> sweep(Deadline deadline) override;
  // s3_trees.cc
  Task<Prepared> prepare_move(Rename rename, Deadline deadline) override;
  Task<TreeStretch> copy_stretch(TreePair trees, std::string after, Deadline deadline) override;
  Task<TreeStretch> uncopy_stretch(TreePair trees, std::string after, Marker marker, Deadline deadline) override;
  Task<TreeStretch> remove_stretch(std::string directory, std::string after, std::int64_t made_before_ns, Deadline deadline) override;
  S3Client& client() { return client_; }

 protected:
  std::string_view kind() const override { return "a bucket"; }
  // Makes a marker where there is none.
  Task<> keep_directory(std::string directory, Deadline deadline) override;
  Task<ObjectInfo> directory_after(std::string path, Deadline deadline) override;

 private:
  std::string key_of(std::string_view path) const { return client_.options().prefix + std::string(path); }
  Status check(std::string_view path, Deadline deadline);
  Error not_found(std::string_view path) const;

  Task<StoredObject> head(std::string key, Deadline deadline);
  Task<StoredObject> head_by_get(std::string key, Deadline deadline);
  // Keys below "path/", up to `limit`.
  Task<ListPage> below(std::string path, std::size_t limit, Deadline deadline);
  Task<> read_range(std::string path, ObjectVersion version, std::uint64_t offset, std::span<std::byte> into, ReadOptions options,
                    Deadline deadline);
  Task<> read_parts(std::string path, ObjectVersion version, std::uint64_t offset, std::span<std::byte> into, ReadOptions options,
                    Deadline deadline);
  Task<> why_missing(std::string path, Deadline deadline);
  Task<> check_unchanged(std::string path, ObjectVersion version, Deadline deadline);
  Task<> check_parent(std::string path, Deadline deadline);
  Task<> check_replaced(std::string path, StagedContent::Replaces replaces, Deadline deadline);
  Task<ObjectInfo> put_file(std::string path, ByteSource content, StagedContent::Replaces replaces, Deadline deadline);
  Task<> put_marker(std::string directory, Deadline deadline);
  Task<> move_object(std::string from, std::string to, StoredObject source, Deadline deadline);
  Task<> copy_listed(ListedObject object, std::string target, Deadline deadline);
  Task<> move_tree(std::string from, std::string to, Deadline deadline);
  Task<ListPage> page_below(std::string prefix, std::string after, Deadline deadline);
  Task<std::vector<ListedObject>> objects_between(std::string prefix, std::string after, std::string last, Deadline deadline);

  BlockingPool& pool_;
  S3Client client_;
  S3Objects objects_;
};

// Fails: invalid_argument (URI, options, key file), unsupported (no HTTP client). Asks nothing of the store.
Result<std::shared_ptr<UnderStore>> open_s3_store(std::string_view uri, const StoreOptions& options, const StoreContext& context);
Result<std::shared_ptr<S3Store>> open_s3_store_with(std::string_view uri, const StoreOptions& options, const StoreContext& context,
                                                    S3Seams seams);

}  // namespace hearth::s3
