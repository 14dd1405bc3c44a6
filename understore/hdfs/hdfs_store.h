// The HDFS store: a directory of HDFS, over WebHDFS or HttpFS, as an under-store.
//
// Threads: any; calls resume on the caller's executor. Nothing blocks but reading a token file, in the pool.
// Owns:    nothing that outlives a call; the HTTP client keeps the connections.
// Fails:   as under_store.h says; unsupported without an HTTP client. Opening asks nobody: the first call does.
//
// Reads name the inode of their version, not the path, and compare the path's status afterwards: content of two files is
// never mixed. An inode's bytes change only by append (another length) and truncate (another mtime).
#pragma once

#include "understore/store_factory.h"

#include <memory>
#include <string_view>

namespace hearth {

Result<std::shared_ptr<UnderStore>> open_hdfs_store(std::string_view uri, const StoreOptions& options,
                                                    const StoreContext& context);

}  // namespace hearth
