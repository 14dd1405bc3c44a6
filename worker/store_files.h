// Method::open_store_file and publish_store_file: descriptors of files of an under-store, for clients on this host.
//
// Of a local store it is the file itself, opened in the name of its caller: nothing of what its holder writes passes through
// the worker or its cache. Of a store whose objects are replaced whole (S3, HDFS) it is a staged copy, a file without a name
// on this host; publishing it makes it the object. The worker keeps nothing of either: the descriptor comes back with the
// request to publish, so a worker that was started again publishes as well as the one that opened.
//
// Threads: confined to the data thread; opening runs in the blocking pool of the store, what is staged in that of the worker.
// Fails:   permission_denied (not the Unix socket; a caller that is neither the peer nor spoken for by root; for staged
//          copies a peer that is neither root nor of the worker's own user, since no store checks its rights). What the
//          store refused is part of the reply, with its errno.
#pragma once

#include "common/blocking.h"
#include "worker/service.h"

#include <memory>

namespace hearth::worker {

class StoreFiles {
 public:
  StoreFiles(Service& service, BlockingPool& pool) : service_(service), pool_(pool) {}

  Task<ServerReply> open(std::shared_ptr<ServerCall> call);
  Task<ServerReply> publish(std::shared_ptr<ServerCall> call);

 private:
  struct Opened {
    StoreFile file;
    bool staged = false;
  };
  struct Target {
    std::shared_ptr<UnderStore> store;
    std::string path;  // in the store
    bool staged = false;
  };
  enum class Purpose : std::uint8_t { read, write };
  Task<Target> target_of(std::string path, Purpose purpose, Deadline deadline);
  Task<Opened> open_in_store(std::string path, OpenForWriting how, Caller caller, PeerIdentity peer, Deadline deadline);
  Task<StoreFile> stage(Target target, OpenForWriting how, Deadline deadline);
  Task<> copy_content(const Target& target, const ObjectInfo& object, int fd, Deadline deadline);
  Task<ObjectInfo> publish_in_store(std::string path, UniqueFd content, bool must_be_new, Deadline deadline);

  Service& service_;
  BlockingPool& pool_;
};

}  // namespace hearth::worker
