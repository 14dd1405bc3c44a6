// Changes of objects: upload whole or in parts, copy inside the bucket, delete.
//
// Threads: any; calls resume on the caller's executor.
// Owns:    the names of multipart uploads that could not be aborted: sweep() takes them back.
// Fails:   as S3Client::send; a failed upload leaves the object as it was.
#pragma once

#include "understore/byte_source.h"
#include "understore/s3/s3_client.h"
#include "understore/under_store.h"

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace hearth::s3 {

struct StoredObject {
  std::string etag;
  std::uint64_t length_bytes = 0;
  std::int64_t mtime_ns = 0;  // the store's clock when it answered
};

struct NewObject {
  std::string key;
  std::string content_type;
  ByteSource content;
  StagedContent::Replaces replaces = StagedContent::Replaces::anything;
};

inline constexpr std::uint64_t largest_single_copy = 5ULL << 30;  // CopyObject's limit
inline constexpr std::uint64_t copy_part_bytes = 512ULL << 20;
inline constexpr std::uint64_t max_parts = 10'000;
inline constexpr std::size_t max_deleted_at_once = 1000;

class S3Objects {
 public:
  explicit S3Objects(S3Client& client, std::uint64_t single_copy_limit = largest_single_copy, std::uint64_t part_of_copy = copy_part_bytes)
      : client_(client), single_copy_limit_(single_copy_limit), part_of_copy_(part_of_copy) {}

  // One PUT up to twice the part size, parts in parallel beyond; of a file, no more bytes are in memory than that, or than
  // the parts that are on their way. already_exists when it must not replace what is there.
  Task<StoredObject> put_new(NewObject object, Deadline deadline);
  Task<StoredObject> put(std::string key, Bytes content, std::string content_type, Deadline deadline);
  // Of the source's version `etag` only: stale when it changed.
  Task<> copy(std::string from, std::string to, StoredObject source, Deadline deadline);
  Task<> erase(std::string key, Deadline deadline);
  Task<> erase_many(std::vector<std::string> keys, Deadline deadline);

  // Tries again what this process could not abort.
  Task<> abort_leftovers(Deadline deadline);
  // Aborts uploads below `prefix` that began before `older_than` ago, and this process's own leftovers. Others' uploads
  // below the prefix count too, so give them the time an upload may take. Returns how many were aborted.
  Task<std::uint64_t> sweep(std::string prefix, Duration older_than, Deadline deadline);

 private:
  struct Upload;
  struct Leftovers {
    std::mutex mutex;
    std::vector<OpenUpload> uploads;  // guarded by mutex
  };

  Task<StoredObject> put_whole(NewObject object, Deadline deadline);
  Task<StoredObject> put_parts(NewObject object, Deadline deadline);
  Task<HttpReply> send_new(S3Request request, StagedContent::Replaces replaces, Deadline deadline);
  Task<> copy_parts(std::string from, std::string to, StoredObject source, Deadline deadline);
  Task<std::shared_ptr<Upload>> begin_upload(std::string key, std::string content_type, Checksum checksum, Deadline deadline);
  Task<> upload_part(std::shared_ptr<Upload> upload, std::size_t index, Deadline deadline);
  Task<> copy_part(std::shared_ptr<Upload> upload, std::size_t index, std::string from, std::string etag, std::string range, Deadline deadline);
  Task<StoredObject> complete(std::shared_ptr<Upload> upload, Deadline deadline);
  Task<> give_up(std::shared_ptr<Upload> upload);
  Task<> abort(std::string key, std::string upload_id, Deadline deadline);

  S3Client& client_;
  std::uint64_t single_copy_limit_;
  std::uint64_t part_of_copy_;
  // Shared with uploads in flight: one that is cancelled leaves its name there.
  const std::shared_ptr<Leftovers> leftovers_ = std::make_shared<Leftovers>();
};

}  // namespace hearth::s3
