// The scripted worker of testing_cluster.h.
#include "client/src/testing_cluster.h"

#include "common/block_wire.h"
#include "common/crc32c.h"
#include "common/outcome_wire.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>

namespace hearth::client::testing {
namespace {

UniqueFd sealed_memory(const std::string& content) {
  UniqueFd fd(::memfd_create("fake-block", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const auto written = ::write(fd.get(), content.data(), content.size());
  assert(written == static_cast<ssize_t>(content.size()));
  (void)written;
  ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
  return fd;
}

}  // namespace

FakeWorker::FakeWorker(std::uint64_t id, std::string socket_path) : id_(id) {
  socket_path_ = std::move(socket_path);
  for (const Method method : {Method::read, Method::read_many, Method::grant, Method::release, Method::load, Method::report_corrupt,
                              Method::block_status, Method::worker_status}) {
    serve(method);
  }
  start_again();
}

void FakeWorker::start_again() {
  std::vector<Address> addresses{Address{.kind = Address::Kind::tcp, .host = "127.0.0.1", .port = 0}};
  if (!socket_path_.empty()) addresses.push_back(Address{.kind = Address::Kind::unix_socket, .host = socket_path_});
  start(addresses);
}

proto::WorkerInfo FakeWorker::info(proto::WorkerInfo::State state) const {
  proto::WorkerInfo out;
  out.set_worker_id(id_);
  out.set_address(tcp_address());
  out.set_local_socket(socket_path_);
  out.set_capacity_bytes(1ULL << 30);
  out.set_state(state);
  return out;
}

void FakeWorker::hold(const std::string& path, const FakeFile& file) {
  std::lock_guard lock(mutex_);
  for (const BlockRef& block : blocks_of(path, file)) {
    blocks_[block.id] = file.content.substr(block.start.value, block.length_bytes);
  }
}

void FakeWorker::damage(const std::string& path, const FakeFile& file, std::uint64_t offset) {
  std::lock_guard lock(mutex_);
  for (const BlockRef& block : blocks_of(path, file)) damaged_[block.id] = offset;
}

void FakeWorker::pack(const std::string& path, const FakeFile& file) {
  std::lock_guard lock(mutex_);
  for (const BlockRef& block : blocks_of(path, file)) {
    packed_[block.id] = segment_.size();
    segment_ += blocks_[block.id];
    if (const auto damage = damaged_.find(block.id); damage != damaged_.end()) segment_[packed_[block.id] + damage->second] ^= 1;
    segment_.resize((segment_.size() + 63) / 64 * 64);
  }
}

void FakeWorker::move_packed(std::uint64_t by_bytes) {
  std::lock_guard lock(mutex_);
  for (auto& [block, offset] : packed_) offset += by_bytes;
}

void FakeWorker::start_a_segment() {
  std::lock_guard lock(mutex_);
  segment_id_.low += 1;
  segment_.clear();
  packed_.clear();
}

void FakeWorker::refuse_grants(Code code) {
  std::lock_guard lock(mutex_);
  refusal_ = code;
}

void FakeWorker::fail_ranges(const std::string& path, const FakeFile& file, Code code) {
  std::lock_guard lock(mutex_);
  for (const BlockRef& block : blocks_of(path, file)) failing_[block.id] = code;
}

proto::PackedPlace FakeWorker::place_of(const BlockId& block) {
  proto::PackedPlace place;
  place.set_segment_id(block_ids_to_wire({segment_id_}));
  place.set_offset_bytes(packed_[block]);
  for (const std::uint32_t sum : chunk_checksums(std::as_bytes(std::span(blocks_[block])))) place.add_chunk_checksums(sum);
  return place;
}

ServerReply FakeWorker::read_many(const proto::ReadManyRequest& request) {
  std::lock_guard lock(mutex_);
  ServerReply reply;
  proto::ReadManyReply body;
  for (const auto& block : request.blocks()) {
    proto::PackedPlace& place = *body.add_packed();
    if (packed_.contains(block_id_from_wire(block))) place = place_of(block_id_from_wire(block));
  }
  for (const auto& item : request.items()) {
    const BlockId id = block_id_from_wire(request.blocks(static_cast<int>(item.block())));
    const auto found = blocks_.find(id);
    const auto failing = failing_.find(id);
    proto::Outcome& outcome = *body.add_outcomes();
    if (failing != failing_.end()) {
      outcome_to_wire(Error(failing->second, "scripted to fail"), outcome);
    } else if (found == blocks_.end()) {
      outcome_to_wire(Error(Code::unavailable, "this worker can not reach the store"), outcome);
    } else {
      reply.payload += found->second.substr(item.offset_bytes(), item.length_bytes());
    }
  }
  body.set_hit_bytes(reply.payload.size());
  reply.body = body.SerializeAsString();
  return reply;
}

std::vector<std::uint64_t> FakeWorker::released() const {
  std::lock_guard lock(mutex_);
  return released_;
}

void FakeWorker::recall_everything() {
  proto::RecallNotice notice;
  {
    std::lock_guard lock(mutex_);
    for (const auto lease : leases_) notice.add_lease_ids(lease);
  }
  notify_all(Method::recall, notice.SerializeAsString());
}

Result<ServerReply> FakeWorker::grant(const proto::GrantRequest& request) {
  std::lock_guard lock(mutex_);
  if (refusal_ != Code::ok) return Error(refusal_, "grants are refused here");
  const auto found = blocks_.find(block_id_from_wire(request.block()));
  if (found == blocks_.end()) return Error(Code::not_found, "not cached");
  if (request.segment_id() == block_ids_to_wire({segment_id_})) return grant_segment();
  if (packed_.contains(found->first)) return Error(Code::unsupported, "it is packed");
  std::string content = found->second;
  ServerReply reply;
  for (const std::uint32_t sum : chunk_checksums(std::as_bytes(std::span(content)))) {
    for (int b = 0; b < 4; ++b) reply.payload += static_cast<char>(sum >> (8 * b));
  }
  if (const auto damage = damaged_.find(found->first); damage != damaged_.end()) content[damage->second] ^= 1;
  proto::GrantReply body;
  leases_.push_back(leases_.size() + 1);
  body.set_lease_id(leases_.back());
  body.set_length_bytes(content.size());
  reply.body = body.SerializeAsString();
  reply.fds.push_back(sealed_memory(content));
  return reply;
}

Result<ServerReply> FakeWorker::grant_segment() {
  proto::GrantReply body;
  leases_.push_back(leases_.size() + 1);
  body.set_lease_id(leases_.back());
  body.set_length_bytes(segment_.size());
  ServerReply reply;
  reply.body = body.SerializeAsString();
  reply.fds.push_back(sealed_memory(segment_));
  return reply;
}

Task<ServerReply> FakeWorker::read(std::shared_ptr<ServerCall> call) {
  proto::ReadRequest request;
  request.ParseFromString(call->body());
  std::string bytes;
  proto::ReadReply body;
  {
    std::lock_guard lock(mutex_);
    const auto found = blocks_.find(block_id_from_wire(request.block()));
    if (found != blocks_.end()) bytes = found->second.substr(request.offset_bytes(), request.length_bytes());
    if (packed_.contains(block_id_from_wire(request.block())) && call->peer().is_local) {
      *body.mutable_packed() = place_of(block_id_from_wire(request.block()));
    }
  }
  if (bytes.empty()) co_return Error(Code::unavailable, "this worker can not reach the store");
  std::vector<std::span<const std::byte>> parts{std::as_bytes(std::span(bytes))};
  const std::uint32_t sum = crc32c(parts[0]);
  CO_CHECK_OK(co_await call->send_part(0, std::move(parts), sum));
  body.set_hit_bytes(bytes.size());
  ServerReply reply;
  reply.body = body.SerializeAsString();
  co_return reply;
}

Task<ServerReply> FakeWorker::answer(std::shared_ptr<ServerCall> call) {
  ServerReply reply;
  switch (call->method()) {
    case Method::read: {
      Result<ServerReply> answered = co_await read(call);
      co_return answered;
    }
    case Method::read_many: {
      proto::ReadManyRequest request;
      request.ParseFromString(call->body());
      co_return read_many(request);
    }
    case Method::grant: {
      proto::GrantRequest request;
      request.ParseFromString(call->body());
      co_return grant(request);
    }
    case Method::release: {
      proto::ReleaseRequest request;
      request.ParseFromString(call->body());
      std::lock_guard lock(mutex_);
      released_.insert(released_.end(), request.lease_ids().begin(), request.lease_ids().end());
      co_return reply;
    }
    case Method::load: {
      proto::LoadRequest request;
      request.ParseFromString(call->body());
      proto::LoadReply body;
      body.set_loaded_bytes(request.length_bytes());
      reply.body = body.SerializeAsString();
      co_return reply;
    }
    case Method::worker_status: {
      proto::WorkerStatusReply body;
      *body.mutable_worker() = info();
      reply.body = body.SerializeAsString();
      co_return reply;
    }
    case Method::block_status: {
      proto::BlockStatusRequest request;
      request.ParseFromString(call->body());
      proto::BlockStatusReply body;
      std::lock_guard lock(mutex_);
      for (const auto& block : request.blocks()) {
        auto* status = body.add_blocks();
        status->set_present(blocks_.contains(block_id_from_wire(block)));
        status->set_complete(status->present());
        status->set_tier("memory");
      }
      reply.body = body.SerializeAsString();
      co_return reply;
    }
    default: co_return reply;
  }
}

}  // namespace hearth::client::testing
