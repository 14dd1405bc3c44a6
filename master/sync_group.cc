#include "master/sync_group.h"

namespace hearth::master {

Task<> SyncGroup::commit(Deadline deadline) {
  if (!next_) next_ = std::make_shared<Flight<>>(Moment());
  const std::shared_ptr<Flight<>> mine = next_;
  if (state_ == State::idle) {
    state_ = State::running;
    const Status spawned = tasks_.spawn(run(), "metadata_sync");
    if (!spawned) {
      state_ = State::idle;
      co_return Error(Code::unavailable, "the master is shutting down; ask again when it is back");
    }
  }
  const Status waited = co_await board_.wait(mine, deadline, "syncing the metadata log");
  if (!waited) co_return waited;
  co_return mine->outcome;
}

Task<> SyncGroup::run() {
  while (next_) {
    const std::shared_ptr<Flight<>> flight = std::exchange(next_, nullptr);
    std::function<Status()> work = [this] { return store_.sync(); };
    Status synced = co_await pool_.run<void>(std::move(work));
    flight->land(std::move(synced));
  }
  state_ = State::idle;
  co_return ok();
}

}  // namespace hearth::master
