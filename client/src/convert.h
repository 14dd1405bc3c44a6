// Between the wire's bodies and the values of the API. What a peer sent is checked here.
//
// Fails: bad_frame when a reply contradicts itself.
#pragma once

#include <hearth/client.h>

#include "common/block.h"
#include "common/clock.h"
#include "common/ids.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace hearth::proto {
class FileInfo;
class WorkerInfo;
class Attachment;
class AttachmentOptions;
class ResolveReply;
}  // namespace hearth::proto

namespace hearth::client {

// What is needed to read one version of a file. Immutable once made.
struct Resolution {
  std::string path;  // after symlinks
  FileStatus status;
  std::vector<BlockRef> blocks;                   // contiguous from 0; all but the last of one length
  std::vector<std::vector<WorkerId>> locations;   // one per block
  std::string store_uri;
  std::map<std::string, std::string> store_options;
  AttachmentOptions::Placement placement = AttachmentOptions::Placement::local_first;
  std::uint64_t worker_table_version = 0;
  TimePoint expires{};                            // counted from when the master was asked
};
using ResolutionPtr = std::shared_ptr<const Resolution>;  // shared: the cache and every open file

FileStatus to_status(const proto::FileInfo& info);
WorkerStatus to_worker(const proto::WorkerInfo& info);
AttachmentStatus to_attachment(const proto::Attachment& attachment);
void to_proto(const AttachmentOptions& options, proto::AttachmentOptions& out);
Result<Resolution> to_resolution(const std::string& path, const proto::ResolveReply& reply, TimePoint asked);

// ok, or invalid_argument with what is wrong: paths are absolute, without ".", ".." or empty components.
Status check_path(std::string_view path);
// "/a/b" -> "/a"; "/a" -> "/".
std::string_view parent_of(std::string_view path);
std::string join(std::string_view directory, std::string_view name);
// Where a symlink at `link` points to inside the namespace. Relative targets count from the link's directory;
// an absolute target, or one that climbs above "/", points outside of the namespace: invalid_argument.
Result<std::string> symlink_destination(std::string_view link, std::string_view target);

}  // namespace hearth::client
