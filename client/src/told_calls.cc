// What a client does when it is told of changes.
#include "client/src/client_impl.h"

#include <utility>

namespace hearth {

Task<> ClientImpl::set_hook(ChangeHook hook) {
  parts_->hook = std::move(hook);
  co_return ok();
}

void ClientImpl::forget_told(const ChangeNotice& notice) {
  client::Resolver& known = parts_->resolver;
  if (notice.scope == ChangeNotice::Scope::everything) return known.forget({});
  for (const ChangeNotice::Path& one : notice.paths) {
    constexpr std::size_t few = 16;  // looking for a grant to drop passes by all of them
    const client::ResolutionPtr before = known.cached(one.path);
    known.forget(one.path);
    if (one.reach == ChangeNotice::Path::Reach::tree) known.forget_below(one.path);
    if (!before || before->blocks.size() > few) continue;
    for (const BlockRef& block : before->blocks) {
      if (const auto grant = grants_->find(block.id)) grants_->drop(*grant);
    }
  }
}

void ClientImpl::act_on(const ChangeNotice& notice, std::function<void()> done) {
  forget_told(notice);
  if (!parts_->hook) return done();
  const ChangeHook hook = parts_->hook;
  hook(notice, [weak = weak_from_this(), done = std::move(done)]() mutable {
    if (const auto alive = weak.lock()) alive->post(std::move(done));
  });
}

}  // namespace hearth
