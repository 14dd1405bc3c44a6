// Client::locks(): the lock session as programs see it.
#include "client/src/client_impl.h"

#include <utility>

namespace hearth {
namespace {

class ClientLocks final : public LockSession {
 public:
  explicit ClientLocks(std::shared_ptr<ClientImpl> client) : client_(std::move(client)) {}

  std::uint64_t new_ticket() override { return keeper().next_ticket(); }
  void lock(std::uint64_t ticket, FileLock wanted, Wait wait, Done done) override {
    start<void>(keeper().lock(ticket, std::move(wanted), wait), std::move(done));
  }
  void cancel(std::uint64_t ticket) override {
    if (!client_->usable()) return;
    client_->post([client = client_, ticket] { client->locks().cancel(ticket); });
  }
  void unlock(FileLock which, Done done) override { start<void>(keeper().unlock(std::move(which)), std::move(done)); }
  void find_conflict(FileLock wanted, Found done) override {
    start<std::optional<FileLock>>(keeper().find_conflict(std::move(wanted)), std::move(done));
  }
  void closed(FileLock which, Done done) override { start<void>(keeper().closed(std::move(which)), std::move(done)); }
  Status check(const FileLock& which) const override {
    CHECK_OK(client_->usable());
    return client_->locks().check(which);
  }

 private:
  client::LockKeeper& keeper() { return client_->locks(); }
  template <class T>
  void start(Task<T> task, std::function<void(Result<T>)> done) {
    if (const Status usable = client_->usable(); !usable) return done(usable.error());
    client_->start<T>(std::move(task), std::move(done));
  }

  std::shared_ptr<ClientImpl> client_;  // shared: the session is the client's
};

}  // namespace

std::shared_ptr<LockSession> Client::locks() const { return std::make_shared<ClientLocks>(impl_); }

}  // namespace hearth
