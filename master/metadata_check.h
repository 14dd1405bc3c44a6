// Whether a metadata store is consistent: what must hold after every crash. For tests and `hearth-check-metadata`.
//
// Threads: nobody else uses the store meanwhile. Memory: about 50 bytes per inode.
// Fails:   corrupt, naming the first fault; otherwise as the store.
#pragma once

#include "master/meta_store.h"
#include "master/records.h"

#include <vector>

namespace hearth::master {

struct MetadataSummary {
  std::uint64_t inodes = 0;
  std::uint64_t entries = 0;
  std::uint64_t orphan_directories = 0;
  std::vector<AttachmentRow> attachments;
};

// Every entry names an inode of its type and every inode is named once (or is the root of an attachment); every entry
// lies in a known directory or in one that is being reaped; ids are below the reserved end; the inode count is right.
Result<MetadataSummary> check_metadata(MetaStore& store);

}  // namespace hearth::master
