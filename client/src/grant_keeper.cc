#include "client/src/grant_keeper.h"

#include "client/src/convert.h"
#include "client/src/file_impl.h"
#include "common/block_wire.h"
#include "common/log.h"
#include "proto/hearth.pb.h"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <map>

namespace hearth::client {
namespace {

using std::chrono::seconds;
constexpr Duration ask_within = seconds(1);
constexpr Duration pause_after_refusal = seconds(1);     // not fully resident yet, say
constexpr Duration pause_after_unsupported = seconds(10);  // too large to be granted: that does not change soon
constexpr Duration release_within = seconds(5);
constexpr std::size_t most_segments_asked = 4096;

// Checksums arrive as little-endian words.
std::vector<std::uint32_t> decode_checksums(std::span<const std::byte> bytes) {
  std::vector<std::uint32_t> words(bytes.size() / 4);
  for (std::size_t i = 0; i < words.size(); ++i) {
    for (std::size_t b = 0; b < 4; ++b) words[i] |= std::to_integer<std::uint32_t>(bytes[4 * i + b]) << (8 * b);
  }
  return words;
}

// In filling: only where a read would go first, so that a block that another worker has is not fetched again.
std::optional<Reach> local_choice(Peers& peers, FileImpl& file, std::size_t index, GrantOf what) {
  std::vector<WorkerId> suspects;
  const BlockRef& block = file.resolution().blocks[index];
  const auto order = peers.candidates(block, file.holders(index).workers, file.resolution().placement, suspects);
  if (what == GrantOf::block_in_filling) {
    return !order.empty() && peers.is_local(order.front()) ? peers.reach(order.front()) : std::nullopt;
  }
  for (const WorkerId worker : order) {
    if (peers.is_local(worker)) return peers.reach(worker);
  }
  return peers.local_worker();
}

}  // namespace

void LeaseReleaser::released(const LeaseName& lease) {
  std::lock_guard lock(mutex_);
  if (closed_) return;
  waiting_.push_back(lease);
  if (std::exchange(flushing_, true)) return;
  asio::post(group_->executor(), [self = shared_from_this()] {
    const Status started = self->group_->spawn(flush(self), "release_leases");
    if (!started) self->close();
  });
}

void LeaseReleaser::close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
  waiting_.clear();
}

Task<> LeaseReleaser::flush(std::shared_ptr<LeaseReleaser> self) {
  for (;;) {
    std::map<std::pair<std::uint64_t, std::uint64_t>, std::vector<std::uint64_t>> batches;
    {
      std::lock_guard lock(self->mutex_);
      for (const LeaseName& name : self->waiting_) batches[{name.worker.value, name.connection}].push_back(name.lease);
      self->waiting_.clear();
      self->flushing_ = !batches.empty();
    }
    if (batches.empty()) co_return ok();
    for (auto& [key, leases] : batches) {
      const WorkerId worker{key.first};
      Status given = co_await self->give_back(worker, key.second, std::move(leases));
      if (!given) log_debug("leases_not_released", {{"worker", key.first}, {"why", given.error().to_string()}});
    }
  }
}

// A lease ends with its connection, and its number may come again on the next: only the very same one is told.
Task<> LeaseReleaser::give_back(WorkerId worker, std::uint64_t connection, std::vector<std::uint64_t> leases) {
  std::optional<Reach> reach = peers_->reach(worker);
  if (!reach || !reach->local || reach->connection != connection) co_return ok();
  proto::ReleaseRequest request;
  for (const std::uint64_t lease : leases) request.add_lease_ids(lease);
  RpcCall call;
  call.method = Method::release;
  call.body = request.SerializeAsString();
  const Deadline deadline = Deadline::after(clock_, release_within);
  auto answer = co_await reach->channel->call(std::move(call), deadline);
  if (!answer) co_return std::move(answer).error();
  co_return ok();
}

GrantKeeper::GrantKeeper(const Clock& clock, TaskGroup& group, Peers& peers, GrantCache& cache)
    : clock_(clock), executor_(group.executor()), peers_(peers), cache_(cache),
      releaser_(std::make_shared<LeaseReleaser>(group, peers, clock)) {}

Task<std::shared_ptr<MappedGrant>> GrantKeeper::ask(BlockRef block, GrantOf what, Reach worker, Deadline deadline) {
  proto::GrantRequest request;
  block_to_wire(block, *request.mutable_block());
  request.set_in_filling(what == GrantOf::block_in_filling);
  std::vector<std::byte> checksums((block.length_bytes + checksum_chunk_bytes - 1) / checksum_chunk_bytes * 4);
  RpcCall call;
  call.method = Method::grant;
  call.body = request.SerializeAsString();
  call.into = checksums;
  proto::GrantReply reply;
  CO_TRY(answer, co_await call_and_decode(worker.channel, std::move(call), &reply, deadline));
  const LeaseName name{.worker = worker.worker, .connection = worker.connection, .lease = reply.lease_id()};
  MappedGrant::Parts parts;
  parts.block = block.id;
  parts.lease = name;
  parts.fd_offset_bytes = reply.fd_offset_bytes();
  parts.length_bytes = reply.length_bytes();
  parts.chunk_checksums = decode_checksums(std::span(checksums).first(answer.payload_bytes));
  if (!answer.fds.empty()) parts.fd = std::move(answer.fds[0]);
  const bool as_said = reply.in_filling() ? parts.chunk_checksums.empty() && request.in_filling() : !parts.chunk_checksums.empty();
  if (!parts.fd || reply.length_bytes() != block.length_bytes || !as_said) {
    releaser_->released(name);
    co_return Error(Code::bad_frame, "the grant of block " + block.id.to_hex() + " has no descriptor, another length or no checksums; the block is read through the worker");
  }
  co_return map(std::move(parts));
}

Result<std::shared_ptr<MappedGrant>> GrantKeeper::map(MappedGrant::Parts parts) {
  const LeaseName name = parts.lease;
  std::weak_ptr<LeaseReleaser> releaser = releaser_;
  auto on_unmapped = [releaser](const LeaseName& lease) {
    if (auto alive = releaser.lock()) alive->released(lease);
  };
  auto mapped = MappedGrant::map(std::move(parts), on_unmapped);
  if (!mapped) releaser_->released(name);
  return mapped;
}

bool GrantKeeper::begin_asking(const BlockId& segment) {
  const TimePoint now = clock_.now();
  const auto asked = segments_asked_.find(segment);
  if ((asked != segments_asked_.end() && now < asked->second) || cache_.find(segment)) return false;
  if (segments_asked_.size() >= most_segments_asked) {
    std::erase_if(segments_asked_, [now](const auto& one) { return one.second <= now; });
  }
  segments_asked_[segment] = now + ask_within + pause_after_refusal;
  return true;
}

Task<> GrantKeeper::obtain_segment(BlockRef block, BlockId segment, Reach worker, Deadline deadline) {
  const Deadline limit = deadline.sooner_of(Deadline::after(clock_, ask_within));
  proto::GrantRequest request;
  block_to_wire(block, *request.mutable_block());
  request.set_segment_id(block_ids_to_wire({segment}));
  RpcCall call;
  call.method = Method::grant;
  call.body = request.SerializeAsString();
  proto::GrantReply reply;
  CO_TRY(answer, co_await call_and_decode(worker.channel, std::move(call), &reply, limit));
  MappedGrant::Parts parts;
  parts.block = segment;
  parts.lease = LeaseName{.worker = worker.worker, .connection = worker.connection, .lease = reply.lease_id()};
  parts.fd_offset_bytes = reply.fd_offset_bytes();
  parts.length_bytes = reply.length_bytes();
  if (answer.fds.empty()) {
    releaser_->released(parts.lease);
    co_return Error(Code::bad_frame, "the grant of segment " + segment.to_hex() + " has no descriptor; its blocks are read through the worker");
  }
  parts.fd = std::move(answer.fds[0]);
  CO_TRY(grant, map(std::move(parts)));
  if (peers_.connection_of(worker.worker) != worker.connection) {
    grant->retire();
    co_return Error(Code::unavailable, "the connection to the worker was lost while it granted the segment");
  }
  segments_asked_.erase(segment);
  cache_.insert(std::move(grant));
  co_return ok();
}

Task<> GrantKeeper::try_out(BlockRef block, WorkerId worker, Deadline deadline) {
  std::optional<Reach> reach = peers_.reach(worker);
  if (!reach || !reach->local) co_return Error(Code::unavailable, "the worker's Unix socket can not be reached from here");
  CO_TRY(grant, co_await ask(std::move(block), GrantOf::complete_block, *reach, deadline));
  grant->retire();
  co_return ok();
}

Task<> GrantKeeper::obtain(std::shared_ptr<FileImpl> file, std::size_t index, GrantOf what, Deadline deadline) {
  if (what == GrantOf::block_in_filling) file->ask_grant_again(index, clock_.now() + pause_after_refusal);
  const BlockRef& block = file->resolution().blocks[index];
  if (block.page_count() == 1) what = GrantOf::complete_block;  // complete or nothing
  if (const auto asking = asking_.find(block.id); asking != asking_.end()) {
    std::shared_ptr<Signal> answered = asking->second;
    co_await Signal::wait(answered);
  }
  if (file->use_cached_grant(index, what)) co_return ok();
  CO_CHECK_OK(co_await peers_.refresh(Freshness::whatever_is_known, deadline));
  std::optional<Reach> worker = local_choice(peers_, *file, index, what);
  if (!worker && what == GrantOf::block_in_filling) {
    what = GrantOf::complete_block;
    worker = local_choice(peers_, *file, index, what);
  }
  if (!worker || !worker->local) co_return Error(Code::unavailable, "no worker can be reached by a local socket of this host");
  auto answered = std::make_shared<Signal>();
  asking_[block.id] = answered;
  const Deadline limit = deadline.sooner_of(Deadline::after(clock_, ask_within));
  Result<std::shared_ptr<MappedGrant>> grant = co_await ask(block, what, *worker, limit);
  if (grant && peers_.connection_of(worker->worker) != worker->connection) {
    (*grant)->retire();
    grant = Error(Code::unavailable, "the connection to the worker was lost while it granted the block");
  }
  if (grant) {
    cache_.insert(*grant);
    file->use_grant(index, *grant);
  } else if (grant.code() == Code::unsupported) {
    file->ask_grant_again(index, clock_.now() + pause_after_unsupported);
  }
  asking_.erase(block.id);
  answered->set(executor_);
  if (!grant) co_return std::move(grant).error();
  co_return ok();
}

Task<InPlace> GrantKeeper::read_in_place(std::shared_ptr<MappedGrant> grant, BlockRef block, std::uint64_t offset,
                                         std::uint64_t length, Deadline deadline) {
  const LeaseName& lease = grant->lease();
  std::optional<Reach> worker = peers_.reach(lease.worker);
  if (!worker || !worker->local || worker->connection != lease.connection) {
    co_return Error(Code::not_found, "the lease ended with its connection");
  }
  proto::ReadRequest request;
  block_to_wire(block, *request.mutable_block());
  request.set_offset_bytes(offset);
  request.set_length_bytes(length);
  request.set_lease_id(lease.lease);
  std::vector<std::byte> checksums((length + checksum_chunk_bytes - 1) / checksum_chunk_bytes * 4);
  RpcCall call;
  call.method = Method::read;
  call.body = request.SerializeAsString();
  call.into = checksums;
  proto::ReadReply reply;
  CO_TRY(answer, co_await call_and_decode(worker->channel, std::move(call), &reply, deadline));
  if (answer.payload_bytes != checksums.size()) {
    co_return Error(Code::bad_frame, "the worker named " + std::to_string(answer.payload_bytes / 4) + " checksums for " +
                                         std::to_string(length) + " bytes");
  }
  if (!grant->pin()) co_return Error(Code::not_found, "the lease was given back meanwhile");
  grant->learn(static_cast<std::size_t>(offset / checksum_chunk_bytes), decode_checksums(checksums));
  grant->unpin();
  InPlace said;
  said.hit_bytes = reply.hit_bytes();
  said.miss_bytes = reply.miss_bytes();
  co_return said;
}

}  // namespace hearth::client
