#include "client/src/batch_reader.h"

#include "common/block_wire.h"
#include "common/log.h"
#include "common/outcome_wire.h"
#include "proto/hearth.pb.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

namespace hearth::client {
namespace {

constexpr std::size_t most_ranges = 1024;
constexpr std::uint64_t most_payload_bytes = 1U << 20;
constexpr std::uint64_t most_body_bytes = 2U << 20;       // a quarter of what a body may have
constexpr std::uint64_t largest_small_bytes = 64U << 10;  // a copy less costs more than a request less from here on
constexpr std::size_t request_lanes = 4;
constexpr std::size_t other_lanes = 16;
constexpr std::size_t grants_per_call = 16;
constexpr Duration grant_again_after = std::chrono::seconds(1);

using FileBlock = std::pair<FileImpl*, std::size_t>;

bool is_small(const PendingRead& read) {
  const BlockRef& block = read.file->resolution().blocks[read.file->block_index(read.offset)];
  return read.into.size() <= largest_small_bytes && read.offset + read.into.size() <= block.start.value + block.length_bytes;
}

std::uint64_t wire_bytes(const BlockRef& block) { return block.store_path.size() + block.version.size() + 200; }

}  // namespace

struct BatchReader::Progress {
  Progress(PendingReads wanted, Deadline until) : reads(std::move(wanted)), deadline(until) {}
  const PendingReads reads;
  const Deadline deadline;
  std::vector<Request> requests;
  std::size_t next_request = 0;
  std::vector<std::size_t> others;  // grows by what fails
  std::size_t next_other = 0;
  std::size_t running = 0;
  std::shared_ptr<Signal> done;
};

// A worker per block, asked for once; then the ranges of each worker, cut where a request is full.
void BatchReader::plan(Progress& progress) {
  const std::vector<PendingRead>& reads = *progress.reads;
  std::map<FileBlock, WorkerId> known;
  std::map<WorkerId, std::size_t> open;  // the request of the worker that still has room
  std::vector<WorkerId> suspects;
  for (std::size_t i = 0; i < reads.size(); ++i) {
    if (!is_small(reads[i])) {
      progress.others.push_back(i);
      continue;
    }
    FileImpl& file = *reads[i].file;
    const std::size_t index = file.block_index(reads[i].offset);
    const BlockRef& block = file.resolution().blocks[index];
    const auto [entry, added] = known.try_emplace(FileBlock{&file, index});
    if (added) {
      const auto order = parts_.peers.candidates(block, file.holders(index).workers, file.resolution().placement, suspects);
      entry->second = order.empty() ? WorkerId{} : order.front();
    }
    if (entry->second.value == 0) {
      progress.others.push_back(i);
      continue;
    }
    const auto [place, first] = open.try_emplace(entry->second, progress.requests.size());
    const auto fits = [&](const Request& request) {
      return request.items.size() < most_ranges && request.payload_bytes + reads[i].into.size() <= most_payload_bytes &&
             request.body_bytes + wire_bytes(block) <= most_body_bytes;
    };
    if (first || !fits(progress.requests[place->second])) {
      place->second = progress.requests.size();
      progress.requests.emplace_back().worker = entry->second;
    }
    Request& request = progress.requests[place->second];
    request.items.push_back(i);
    request.payload_bytes += reads[i].into.size();
    request.body_bytes += wire_bytes(block);
  }
}

// So that the next reads of these blocks need nobody. Complete ones only: what is sent here fills no grant.
void BatchReader::ask_for_grants(const std::vector<PendingRead>& reads) {
  std::size_t asked = 0;
  for (const PendingRead& read : reads) {
    const std::size_t index = read.file->block_index(read.offset);
    if (asked == grants_per_call || read.file->has_grant(index) || !read.file->wants_grant(index)) continue;
    read.file->ask_grant_again(index, parts_.clock.now() + grant_again_after);
    const Status started = parts_.group.spawn(obtain_grant(read.file, index), "grant_for_batch");
    if (!started) return;
    ++asked;
  }
}

Task<> BatchReader::obtain_grant(FilePtr file, std::size_t block) {
  const Deadline deadline = Deadline::after(parts_.clock, parts_.options.attempt_deadline);
  const Status granted = co_await parts_.keeper.obtain(file, block, GrantOf::complete_block, deadline);
  if (!granted) log_debug("grant_for_batch_refused", {{"path", file->path()}, {"why", granted.error().to_string()}});
  co_return ok();  // a convenience
}

Task<> BatchReader::read(PendingReads reads, Deadline deadline) {
  auto progress = std::make_shared<Progress>(reads, deadline);
  CO_CHECK_OK(co_await parts_.peers.refresh(Freshness::whatever_is_known, deadline));
  plan(*progress);
  ask_for_grants(*reads);
  CO_CHECK_OK(co_await run_lanes(progress));
  // What failed in a request is read as any other.
  if (progress->next_other < progress->others.size()) CO_CHECK_OK(co_await run_lanes(progress));
  for (PendingRead& read : *reads) {
    if (!read.ended) read.outcome = Error(Code::cancelled, "reading " + read.file->path() + ": the client is being closed");
    if (read.outcome.code() == Code::stale) parts_.resolver.forget(read.file->resolution().path);
  }
  co_return ok();
}

Task<> BatchReader::run_lanes(std::shared_ptr<Progress> progress) {
  progress->done = std::make_shared<Signal>();
  progress->running = 1;
  const std::size_t requests = std::min(request_lanes, progress->requests.size() - progress->next_request);
  const std::size_t others = std::min(other_lanes, progress->others.size() - progress->next_other);
  for (std::size_t i = 0; i < requests + others; ++i) {
    ++progress->running;
    const Status started = parts_.group.spawn(i < requests ? lane_of_requests(progress) : lane_of_others(progress), "read_many");
    if (!started) --progress->running;
  }
  leave(*progress);
  co_await Signal::wait(progress->done);
  co_return ok();
}

void BatchReader::leave(Progress& progress) {
  if (--progress.running == 0) progress.done->set(parts_.group.executor());
}

Task<> BatchReader::lane_of_requests(std::shared_ptr<Progress> progress) {
  while (progress->next_request < progress->requests.size()) {
    const std::size_t index = progress->next_request++;
    Status asked = co_await ask(progress, index);
    if (!asked) log_debug("read_many_failed", {{"why", asked.error().to_string()}});
  }
  leave(*progress);
  co_return ok();
}

Task<> BatchReader::lane_of_others(std::shared_ptr<Progress> progress) {
  while (progress->next_other < progress->others.size()) {
    const std::size_t index = progress->others[progress->next_other++];
    PendingRead& read = (*progress->reads)[index];
    read.outcome = co_await engine_.read_plain(read.file, read.into, read.offset, progress->deadline);
    read.ended = true;
  }
  leave(*progress);
  co_return ok();
}

BatchReader::Buffer BatchReader::take_buffer() {
  if (spare_.empty()) return std::make_unique_for_overwrite<std::byte[]>(most_payload_bytes);
  Buffer buffer = std::move(spare_.back());
  spare_.pop_back();
  return buffer;
}

Task<> BatchReader::ask(std::shared_ptr<Progress> progress, std::size_t index) {
  Buffer buffer = take_buffer();
  const Request& request = progress->requests[index];
  Status answered = co_await ask_worker(progress, &request, &buffer);
  if (spare_.size() < request_lanes) spare_.push_back(std::move(buffer));
  for (const std::size_t item : request.items) {
    if (!(*progress->reads)[item].ended) progress->others.push_back(item);
  }
  if (answered) co_return ok();
  const PendingRead& first = (*progress->reads)[request.items.front()];
  engine_.worker_failed(first.file, first.file->block_index(first.offset), request.worker, answered.error());
  co_return answered;
}

Task<> BatchReader::ask_worker(std::shared_ptr<Progress> progress, const Request* request, Buffer* buffer) {
  std::optional<Reach> reach = parts_.peers.reach(request->worker);
  if (!reach) co_return Error(Code::unavailable, "the worker is gone");
  proto::ReadManyRequest message;
  std::map<FileBlock, std::uint32_t> blocks;
  for (const std::size_t item : request->items) {
    const PendingRead& read = (*progress->reads)[item];
    const std::size_t index = read.file->block_index(read.offset);
    const BlockRef& block = read.file->resolution().blocks[index];
    const auto next = static_cast<std::uint32_t>(blocks.size());
    const auto [entry, added] = blocks.try_emplace(FileBlock{read.file.get(), index}, next);
    if (added) block_to_wire(block, *message.add_blocks());
    proto::ReadManyRequest::Item& range = *message.add_items();
    range.set_block(entry->second);
    range.set_offset_bytes(read.offset - block.start.value);
    range.set_length_bytes(read.into.size());
  }
  RpcCall call;
  call.method = Method::read_many;
  call.body = message.SerializeAsString();
  call.into = std::span(buffer->get(), request->payload_bytes);
  proto::ReadManyReply reply;
  const Deadline attempt = progress->deadline.sooner_of(Deadline::after(parts_.clock, parts_.options.attempt_deadline));
  CO_TRY(answer, co_await call_and_decode(reach->channel, std::move(call), &reply, attempt));
  std::uint64_t sent = 0;
  const bool complete = static_cast<std::size_t>(reply.outcomes_size()) == request->items.size();
  for (int i = 0; complete && i < reply.outcomes_size(); ++i) {
    if (reply.outcomes(i).code() == 0) sent += message.items(i).length_bytes();
  }
  if (!complete || sent != answer.payload_bytes) {
    co_return Error(Code::bad_frame, "the worker answered " + std::to_string(reply.outcomes_size()) + " of " +
                                         std::to_string(request->items.size()) + " ranges with " +
                                         std::to_string(answer.payload_bytes) + " bytes");
  }
  const std::byte* next = buffer->get();
  for (int i = 0; i < reply.outcomes_size(); ++i) {
    PendingRead& read = (*progress->reads)[request->items[static_cast<std::size_t>(i)]];
    const Status fared = outcome_from_wire(reply.outcomes(i));
    if (fared) {
      std::memcpy(read.into.data(), next, read.into.size());
      next += read.into.size();
      read.ended = true;
    } else if (fared.code() == Code::stale) {
      // The same from everybody; all else is tried in every way that there is.
      read.outcome = fared;
      read.ended = true;
    }
  }
  for (const auto& [file_block, index] : blocks) {
    if (!reach->local || static_cast<int>(index) >= reply.packed_size()) break;
    engine_.learn_place(file_block.first->resolution().blocks[file_block.second], reply.packed(static_cast<int>(index)), *reach);
  }
  parts_.peers.trust(request->worker);
  parts_.counters.add(Counters::worker_hit_bytes, reply.hit_bytes());
  parts_.counters.add(Counters::worker_miss_bytes, reply.miss_bytes());
  co_return ok();
}

}  // namespace hearth::client
