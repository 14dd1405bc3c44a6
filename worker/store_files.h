// Method::open_store_file: descriptors of files of a local under-store, opened in the name of their caller, for clients on
// this host. Whoever holds one writes the file itself: nothing of it passes through the worker or its cache.
//
// Threads: confined to the data thread; the opening runs in the blocking pool of the store.
// Fails:   permission_denied (not the Unix socket; a caller that is neither the peer nor spoken for by root). What the
//          store refused is part of the reply, with its errno.
#pragma once

#include "worker/service.h"

#include <memory>

namespace hearth::worker {

class StoreFiles {
 public:
  explicit StoreFiles(Service& service) : service_(service) {}

  Task<ServerReply> open(std::shared_ptr<ServerCall> call);

 private:
  Task<StoreFile> open_in_store(std::string path, OpenForWriting how, Caller caller, Deadline deadline);

  Service& service_;
};

}  // namespace hearth::worker
