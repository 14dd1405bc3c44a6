// MasterService: locks on files.
#include "master/master_service.h"

namespace hearth::master {

MasterService::Answer MasterService::lock(Call call) {
  // Who may change files may lock them: whoever asks speaks for itself.
  const PeerIdentity& peer = call->peer();
  CO_CHECK_OK(check_speaks_for(*call, Caller{.uid = peer.uid, .gid = peer.gid, .groups = {}, .umask = 0}));
  co_return co_await locks_.answer(std::move(call));
}

}  // namespace hearth::master
