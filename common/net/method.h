// The calls of the wire contract (proto/hearth.proto). Numbers are on the wire: append only.
#pragma once

#include <cstdint>
#include <string_view>

namespace hearth {

enum class Method : std::uint16_t {
  none = 0,
  // master, from clients
  stat = 1, list = 2, resolve = 3, locate = 4, workers = 5, attach = 6, detach = 7, attachments = 8,
  free_path = 9, bad_location = 10, master_status = 11,
  policy_get = 12, policy_list = 13, policy_apply = 14, policy_rollback = 15,
  // master, from workers
  register_worker = 32, heartbeat = 33, deregister_worker = 34,
  // worker
  read = 64, grant = 65, release = 66, load = 67, free_blocks = 68, report_corrupt = 69,
  block_status = 70, worker_status = 71, whatif = 72, trace = 73,
  // one-way, worker to client
  recall = 96,
  // several at once: two of the master, one of a worker
  stat_many = 128, resolve_many = 129, read_many = 130,
  // changes: two of the master, one of a worker
  change = 160, xattr = 161, open_store_file = 162,
  // locks on files: one of the master
  lock = 163,
  // telling clients of changes: one of the master, and its one-way notice
  subscribe = 164, changed = 166,
  // worker
  publish_store_file = 170,
  // room in under-stores: one of the master
  space = 185,
  // trees of stores that know keys only: of the master
  remove_tree = 180,
};

// "resolve"; "method-250" for a number this build does not know.
std::string_view name(Method method);

}  // namespace hearth
