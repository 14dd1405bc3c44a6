// The HDFS store: a directory of HDFS, over WebHDFS or HttpFS, as an under-store.
//
// Threads: any; calls resume on the caller's executor. Nothing blocks but reading a token file, in the pool.
// Owns:    nothing that outlives a call; the HTTP client keeps the connections.
// Fails:   as under_store.h says; unsupported without an HTTP client. Opening asks nobody: the first call does.
//
// Reads name the inode of their version, not the path, and compare the path's status afterwards: content of two files is
// never mixed. An inode's bytes change only by append (another length) and truncate (another mtime).
//
// Uploads go to a temporary file ".hearth-<hex>.tmp" beside the target (CREATE, then APPEND of each further piece), which is
// renamed onto it: atomic over WebHDFS. HttpFS can not rename onto a file: there the old one is deleted first, and readers
// may find none for a moment. The mode of the file that is replaced is kept.
#pragma once

#include "understore/store_factory.h"

#include <cstdint>
#include <memory>
#include <string_view>

namespace hearth {

// What an upload holds in memory at a time.
inline constexpr std::uint64_t hdfs_upload_piece_bytes = 32ULL << 20;

Result<std::shared_ptr<UnderStore>> open_hdfs_store(std::string_view uri, const StoreOptions& options,
                                                    const StoreContext& context);

}  // namespace hearth
