#include "common/lock_wire.h"

#include "proto/hearth.pb.h"

namespace hearth {

void lock_to_wire(const FileLock& lock, proto::FileLock& out) {
  out.set_object(lock.object);
  out.set_whole_file(lock.space == LockSpace::whole_file);
  out.set_exclusive(lock.mode == LockMode::exclusive);
  out.set_owner(lock.owner);
  out.set_first(lock.range.first);
  out.set_last(lock.range.last);
  out.set_pid(lock.pid);
}

Result<FileLock> lock_from_wire(const proto::FileLock& wire) {
  if (wire.object().empty() || wire.object().size() > max_lock_object_bytes) {
    return Error(Code::invalid_argument, "a lock on an object of " + std::to_string(wire.object().size()) + " bytes");
  }
  if (wire.first() > wire.last()) return Error(Code::invalid_argument, "the range of a lock ends before it begins");
  FileLock lock;
  lock.object = wire.object();
  lock.space = wire.whole_file() ? LockSpace::whole_file : LockSpace::ranges;
  lock.mode = wire.exclusive() ? LockMode::exclusive : LockMode::shared;
  lock.owner = wire.owner();
  lock.pid = wire.pid();
  // One range for all of them, so that they can not pass each other by.
  if (lock.space == LockSpace::ranges) lock.range = {.first = wire.first(), .last = wire.last()};
  return lock;
}

}  // namespace hearth
