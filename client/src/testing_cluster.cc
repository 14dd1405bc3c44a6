#include "client/src/testing_cluster.h"

#include "common/block_wire.h"
#include "common/outcome_wire.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace hearth::client::testing {
std::vector<BlockRef> blocks_of(const std::string& path, const FakeFile& file) {
  return cut_into_blocks(file.store_uri, AttachmentId{1}, path.substr(1), file.version, file.content.size(),
                         file.block_size_bytes, default_page_size_bytes);
}

// ---- FakeServer

FakeServer::FakeServer() { io_.start(); }
FakeServer::~FakeServer() { assert(!server_ && "the derived destructor stops"); }

void FakeServer::serve(Method method) { methods_.push_back(method); }

void FakeServer::start(const std::vector<Address>& addresses) {
  transport_ = make_socket_transport(io_.executor());
  server_ = make_rpc_server(RpcContext{io_.executor(), *transport_, real_clock(), RpcLimits{}});
  for (const Method method : methods_) {
    server_->handle(method, [this](std::shared_ptr<ServerCall> call) { return handle(std::move(call)); });
  }
  server_->on_disconnect([this](ConnectionId) {
    std::lock_guard lock(mutex_);
    ++connections_ended_;
  });
  for (const Address& address : addresses) {
    const Status listening = server_->listen(address);
    assert(listening);
    (void)listening;
  }
  for (const Address& bound : server_->bound()) {
    if (bound.kind == Address::Kind::tcp) tcp_ = bound;
  }
}

void FakeServer::stop() {
  if (!server_) return;
  const Status stopped = io_.run_sync(server_->stop(Deadline::after(real_clock(), Duration::zero())));
  (void)stopped;
  struct Drop {
    static Task<> now(FakeServer* self) {
      self->server_.reset();
      self->transport_.reset();
      co_return ok();
    }
  };
  const Status dropped = io_.run_sync(Drop::now(this));
  (void)dropped;
}

void FakeServer::fail_with(Code code) {
  std::lock_guard lock(mutex_);
  failure_ = code;
}

void FakeServer::fail_with(Method method, Code code) {
  std::lock_guard lock(mutex_);
  failures_[method] = code;
}

void FakeServer::hang(Method method) {
  std::lock_guard lock(mutex_);
  hanging_.insert(method);
}

void FakeServer::resume() {
  std::lock_guard lock(mutex_);
  hanging_.clear();
}

bool FakeServer::hangs(Method method) const {
  std::lock_guard lock(mutex_);
  return hanging_.contains(method);
}

int FakeServer::calls(Method method) const {
  std::lock_guard lock(mutex_);
  const auto found = calls_.find(method);
  return found == calls_.end() ? 0 : found->second;
}

Task<ServerReply> FakeServer::handle(std::shared_ptr<ServerCall> call) {
  Code failure = Code::ok;
  {
    std::lock_guard lock(mutex_);
    ++calls_[call->method()];
    const auto failing = failures_.find(call->method());
    failure = failing == failures_.end() ? failure_ : failing->second;
    connections_.push_back(call->connection());
  }
  if (failure != Code::ok) co_return Error(failure, "scripted to fail");
  bool waits = hangs(call->method());
  while (waits) {
    CO_CHECK_OK(co_await real_clock().sleep_for(std::chrono::milliseconds(1)));
    waits = hangs(call->method());
  }
  Result<ServerReply> reply = co_await answer(call);
  co_return reply;
}

int FakeServer::connections_ended() const {
  std::lock_guard lock(mutex_);
  return connections_ended_;
}

void FakeServer::notify_all(Method method, std::string body) {
  struct Send {
    static Task<> now(FakeServer* self, Method method, std::string body) {
      std::sort(self->connections_.begin(), self->connections_.end());
      const auto end = std::unique(self->connections_.begin(), self->connections_.end());
      for (auto one = self->connections_.begin(); one != end; ++one) self->server_->notify(*one, method, body);
      co_return ok();
    }
  };
  const Status sent = io_.run_sync(Send::now(this, method, std::move(body)));
  assert(sent);
  (void)sent;
}

// ---- FakeMaster

FakeMaster::FakeMaster() {
  for (const Method method : {Method::stat, Method::list, Method::resolve, Method::locate, Method::workers,
                              Method::bad_location, Method::master_status, Method::stat_many, Method::resolve_many}) {
    serve(method);
  }
  start({Address{.kind = Address::Kind::tcp, .host = "127.0.0.1", .port = 0}});
}

void FakeMaster::start_again() {
  auto address = Address::parse(tcp_address());
  start({*address});
}

void FakeMaster::put(const std::string& path, FakeFile file) {
  std::lock_guard lock(mutex_);
  files_[path] = std::move(file);
}

void FakeMaster::remove(const std::string& path) {
  std::lock_guard lock(mutex_);
  files_.erase(path);
}

void FakeMaster::set_workers(std::vector<proto::WorkerInfo> workers) {
  std::lock_guard lock(mutex_);
  workers_ = std::move(workers);
  ++table_version_;
}

void FakeMaster::answer_at_most(std::size_t names) {
  std::lock_guard lock(mutex_);
  names_per_answer_ = names;
}

void FakeMaster::set_holders(std::vector<std::uint64_t> worker_ids) {
  std::lock_guard lock(mutex_);
  holders_ = std::move(worker_ids);
}

proto::FileInfo FakeMaster::info(const std::string& path, const FakeFile& file) const {
  proto::FileInfo out;
  out.set_inode(std::hash<std::string>{}(path) | 2);
  out.set_type(file.type);
  out.set_length_bytes(file.type == proto::REGULAR ? file.content.size() : 0);
  out.set_version(file.version);
  out.set_symlink_target(file.target);
  out.set_ttl_ms(file.ttl_ms);
  return out;
}

Result<std::string> FakeMaster::resolve(const std::string& path) {
  const auto found = files_.find(path);
  if (found == files_.end()) {
    for (const auto& [known, file] : files_) {
      if (file.type == proto::SYMLINK && path.starts_with(known + "/")) return Error(Code::not_directory, known + " is a symlink");
    }
    return Error(Code::not_found, path + " does not exist");
  }
  proto::ResolveReply reply;
  *reply.mutable_info() = info(path, found->second);
  reply.set_store_uri(found->second.store_uri);
  reply.set_worker_table_version(table_version_);
  if (found->second.type == proto::REGULAR) {
    for (const BlockRef& block : blocks_of(path, found->second)) {
      block_to_wire(block, *reply.add_blocks());
      auto* location = reply.add_locations();
      for (const auto id : holders_) location->add_worker_ids(id);
    }
  }
  return reply.SerializeAsString();
}

Result<std::string> FakeMaster::stat(const proto::StatRequest& request) {
  const auto found = files_.find(request.path());
  if (found == files_.end()) return Error(Code::not_found, request.path() + " does not exist");
  proto::StatReply reply;
  *reply.mutable_info() = info(request.path(), found->second);
  if (request.for_opening() && found->second.type == proto::REGULAR) {
    TRY(resolved, resolve(request.path()));
    reply.mutable_resolved()->ParseFromString(resolved);
    reply.mutable_resolved()->clear_info();
  }
  return reply.SerializeAsString();
}

std::string FakeMaster::stat_many(const proto::StatManyRequest& request) {
  proto::StatManyReply reply;
  for (const auto& path : request.paths()) {
    if (static_cast<std::size_t>(reply.items_size()) == names_per_answer_) break;
    auto& item = *reply.add_items();
    proto::StatRequest one;
    one.set_path(path);
    const auto found = stat(one);
    proto::StatReply body;
    if (!found) outcome_to_wire(found.error(), *item.mutable_outcome());
    if (found && body.ParseFromString(*found)) *item.mutable_info() = body.info();
  }
  return reply.SerializeAsString();
}

std::string FakeMaster::resolve_many(const proto::ResolveManyRequest& request) {
  proto::ResolveManyReply reply;
  for (const auto& path : request.paths()) {
    if (static_cast<std::size_t>(reply.items_size()) == names_per_answer_) break;
    auto& item = *reply.add_items();
    const auto found = resolve(path);
    if (!found) outcome_to_wire(found.error(), *item.mutable_outcome());
    if (found) item.mutable_file()->ParseFromString(*found);
  }
  return reply.SerializeAsString();
}

std::string FakeMaster::list(const std::string& path) {
  proto::ListReply reply;
  for (const auto& [known, file] : files_) {
    if (known.rfind('/') != path.size() || !known.starts_with(path)) continue;
    auto* entry = reply.add_entries();
    entry->set_name(known.substr(path.size() + 1));
    *entry->mutable_info() = info(known, file);
  }
  return reply.SerializeAsString();
}

Task<ServerReply> FakeMaster::answer(std::shared_ptr<ServerCall> call) {
  ServerReply reply;
  std::lock_guard lock(mutex_);
  if (call->method() == Method::resolve) {
    proto::ResolveRequest request;
    request.ParseFromString(call->body());
    auto body = resolve(request.path());
    if (!body) co_return std::move(body).error();
    reply.body = std::move(body).value();
  } else if (call->method() == Method::stat) {
    proto::StatRequest request;
    request.ParseFromString(call->body());
    auto body = stat(request);
    if (!body) co_return std::move(body).error();
    reply.body = std::move(body).value();
  } else if (call->method() == Method::list) {
    proto::ListRequest request;
    request.ParseFromString(call->body());
    reply.body = list(request.path());
  } else if (call->method() == Method::stat_many) {
    proto::StatManyRequest request;
    request.ParseFromString(call->body());
    reply.body = stat_many(request);
  } else if (call->method() == Method::resolve_many) {
    proto::ResolveManyRequest request;
    request.ParseFromString(call->body());
    reply.body = resolve_many(request);
  } else if (call->method() == Method::workers) {
    proto::WorkersReply body;
    for (const auto& worker : workers_) *body.add_workers() = worker;
    body.set_worker_table_version(table_version_);
    reply.body = body.SerializeAsString();
  } else if (call->method() == Method::locate) {
    proto::LocateReply body;
    auto* location = body.add_locations();
    for (const auto id : holders_) location->add_worker_ids(id);
    body.set_worker_table_version(table_version_);
    reply.body = body.SerializeAsString();
  }
  co_return reply;
}

}  // namespace hearth::client::testing
