#include "master/store_gate.h"

#include <algorithm>

namespace hearth::master {

StoreGate::Turn& StoreGate::Turn::operator=(Turn&& other) noexcept {
  Turn old(std::move(*this));
  gate_ = std::move(other.gate_);
  return *this;
}

StoreGate::Turn::~Turn() {
  if (gate_) gate_->leave();
}

void StoreGate::leave() {
  --running_;
  while (running_ < at_once_ && !waiting_.empty()) {
    const std::shared_ptr<Flight<Turn>> next = std::move(waiting_.front());
    waiting_.pop_front();
    ++running_;
    next->land(Turn(shared_from_this()));
  }
}

Task<StoreGate::Turn> StoreGate::enter(std::shared_ptr<StoreGate> gate, Deadline deadline) {
  if (gate->running_ < gate->at_once_) {
    ++gate->running_;
    co_return Turn(gate);
  }
  if (gate->waiting_.size() >= max_waiting_questions) {
    co_return Error(Code::overloaded, gate->uri_ + " is slow and too many questions wait for it; try again later");
  }
  const auto turn = std::make_shared<Flight<Turn>>(Moment());
  gate->waiting_.push_back(turn);
  const Status waited = co_await gate->board_.wait(turn, deadline, "the questions before");
  if (turn->landed()) co_return std::move(turn->outcome);
  std::erase(gate->waiting_, turn);
  if (waited.code() != Code::deadline_exceeded) co_return waited.error();
  co_return Error(Code::deadline_exceeded, gate->uri_ + " did not answer the " + std::to_string(gate->running_) +
                                               " questions before in time; is its file system slow or hung?");
}

namespace {

class GatedListing final : public Listing {
 public:
  GatedListing(std::unique_ptr<Listing> listing, std::shared_ptr<StoreGate> gate)
      : listing_(std::move(listing)), gate_(std::move(gate)) {}

  Task<std::vector<ObjectInfo>> next(std::size_t limit, Deadline deadline) override {
    CO_TRY(turn, co_await StoreGate::enter(gate_, deadline));
    co_return co_await listing_->next(limit, deadline);
  }

 private:
  const std::unique_ptr<Listing> listing_;
  const std::shared_ptr<StoreGate> gate_;
};

class GatedStore final : public UnderStore {
 public:
  GatedStore(std::shared_ptr<UnderStore> store, std::shared_ptr<StoreGate> gate)
      : store_(std::move(store)), gate_(std::move(gate)) {}

  std::string_view uri() const override { return store_->uri(); }
  StoreCapabilities capabilities() const override { return store_->capabilities(); }

  Task<ObjectInfo> stat(std::string path, Deadline deadline) override {
    CO_TRY(turn, co_await StoreGate::enter(gate_, deadline));
    co_return co_await store_->stat(std::move(path), deadline);
  }
  Task<std::unique_ptr<Listing>> list(std::string path, Deadline deadline) override {
    CO_TRY(turn, co_await StoreGate::enter(gate_, deadline));
    CO_TRY(listing, co_await store_->list(std::move(path), deadline));
    std::unique_ptr<Listing> gated = std::make_unique<GatedListing>(std::move(listing), gate_);
    co_return gated;
  }
  Task<> read(std::string path, std::string version, std::uint64_t offset, std::span<std::byte> into,
              Deadline deadline) override {
    CO_TRY(turn, co_await StoreGate::enter(gate_, deadline));
    co_return co_await store_->read(std::move(path), std::move(version), offset, into, deadline);
  }
  Task<ObjectInfo> write(std::string path, std::string content, Deadline deadline) override {
    CO_TRY(turn, co_await StoreGate::enter(gate_, deadline));
    co_return co_await store_->write(std::move(path), std::move(content), deadline);
  }
  Task<> remove(std::string path, Deadline deadline) override {
    CO_TRY(turn, co_await StoreGate::enter(gate_, deadline));
    co_return co_await store_->remove(std::move(path), deadline);
  }
  Task<> rename(std::string from, std::string to, Deadline deadline) override {
    CO_TRY(turn, co_await StoreGate::enter(gate_, deadline));
    co_return co_await store_->rename(std::move(from), std::move(to), deadline);
  }
  Task<ObjectInfo> make_directory(std::string path, std::uint32_t mode, Deadline deadline) override {
    CO_TRY(turn, co_await StoreGate::enter(gate_, deadline));
    co_return co_await store_->make_directory(std::move(path), mode, deadline);
  }
  Task<ChangeResult> change(Change change, Caller caller, Deadline deadline) override {
    CO_TRY(turn, co_await StoreGate::enter(gate_, deadline));
    co_return co_await store_->change(std::move(change), std::move(caller), deadline);
  }
  Task<std::string> xattr(std::string path, std::string name, Caller caller, Deadline deadline) override {
    CO_TRY(turn, co_await StoreGate::enter(gate_, deadline));
    co_return co_await store_->xattr(std::move(path), std::move(name), std::move(caller), deadline);
  }
  Task<std::vector<std::string>> xattr_names(std::string path, Caller caller, Deadline deadline) override {
    CO_TRY(turn, co_await StoreGate::enter(gate_, deadline));
    co_return co_await store_->xattr_names(std::move(path), std::move(caller), deadline);
  }
  Task<std::optional<StoreSpace>> space(Deadline deadline) override {
    CO_TRY(turn, co_await StoreGate::enter(gate_, deadline));
    co_return co_await store_->space(deadline);
  }

 private:
  const std::shared_ptr<UnderStore> store_;
  const std::shared_ptr<StoreGate> gate_;
};

}  // namespace

std::shared_ptr<UnderStore> behind_gate(std::shared_ptr<UnderStore> store, std::shared_ptr<StoreGate> gate) {
  return std::make_shared<GatedStore>(std::move(store), std::move(gate));
}

}  // namespace hearth::master
