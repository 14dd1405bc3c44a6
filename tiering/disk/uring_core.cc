#include "tiering/disk/uring_core.h"

#include "common/log.h"
#include "tiering/disk/disk_name.h"
#include "tiering/disk/uring_setup.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>

#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <utility>

namespace hearth::disk {
namespace {

constexpr std::uint64_t max_transfer_bytes = 1ULL << 30;  // the kernel's own limit is 2 GiB less a page
constexpr std::uint32_t max_fixed_files = 1U << 16;
constexpr std::size_t reap_batch = 64;
// Completions that are there at once (data in the page cache) are served in the same turn, but others want theirs too.
constexpr int rounds_per_turn = 4;

void prepare(io_uring_sqe* sqe, const UringRequest& request, std::uint64_t transferred) {
  const std::uint64_t offset = request.offset + transferred;
  std::byte* memory = request.memory + transferred;
  const auto length = static_cast<unsigned>(std::min(request.length_bytes - transferred, max_transfer_bytes));
  switch (request.kind) {
    case UringRequest::Kind::read:
      if (request.is_fixed_buffer) io_uring_prep_read_fixed(sqe, request.fd, memory, length, offset, 0);
      else io_uring_prep_read(sqe, request.fd, memory, length, offset);
      break;
    case UringRequest::Kind::write:
      if (request.is_fixed_buffer) io_uring_prep_write_fixed(sqe, request.fd, memory, length, offset, 0);
      else io_uring_prep_write(sqe, request.fd, memory, length, offset);
      break;
    case UringRequest::Kind::sync: io_uring_prep_fsync(sqe, request.fd, request.mode); break;
    case UringRequest::Kind::fallocate:
      io_uring_prep_fallocate(sqe, request.fd, static_cast<int>(request.mode), static_cast<off_t>(request.offset),
                              static_cast<off_t>(request.length_bytes));
      break;
    case UringRequest::Kind::open:
      io_uring_prep_openat2(sqe, request.fd, request.path, static_cast<open_how*>(request.how));
      break;
    case UringRequest::Kind::close: io_uring_prep_close(sqe, request.fd); break;
    case UringRequest::Kind::unlink: io_uring_prep_unlinkat(sqe, request.fd, request.path, 0); break;
    case UringRequest::Kind::rename:
      io_uring_prep_renameat(sqe, request.fd, request.path, request.to_directory, request.to_path, 0);
      break;
    case UringRequest::Kind::make_directory: io_uring_prep_mkdirat(sqe, request.fd, request.path, request.mode); break;
  }
  if (request.is_fixed_file) sqe->flags |= IOSQE_FIXED_FILE;
}

}  // namespace

Result<std::shared_ptr<UringCore>> UringCore::make(PosixDirectory& directory, const DiskOptions& options, Executor executor) {
  TRY(ring, make_ring(options.queue_depth));
  return std::shared_ptr<UringCore>(new UringCore(directory, options, std::move(executor), std::move(ring)));
}

UringCore::UringCore(PosixDirectory& directory, const DiskOptions& options, Executor executor, std::unique_ptr<io_uring> ring)
    : directory_(std::move(directory)), options_(options), executor_(std::move(executor)), ring_(std::move(ring)),
      buffers_(BufferPool::make(options.registered_bytes)),
      metrics_{.in_flight = metrics().gauge(described::in_flight, {"io_uring"}),
               .waiting = metrics().gauge(described::waiting, {"io_uring"}),
               .completions = metrics().counter(described::completions_total, {"io_uring"}),
               .enters = metrics().counter(described::enters_total)} {
  register_memory();
  register_files();
  wake_.emplace(executor_, ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  io_uring_register_eventfd(ring_.get(), wake_->native_handle());
}

UringCore::~UringCore() {
  if (!has_fixed_buffers_) return;
  metrics().gauge(described::registered_bytes).add(-static_cast<std::int64_t>(buffers_->arena().size()));
}

// Under a small RLIMIT_MEMLOCK the pool shrinks until it fits; without any, buffers are aligned memory and no more.
void UringCore::register_memory() {
  while (!buffers_->arena().empty()) {
    const iovec whole{.iov_base = buffers_->arena().data(), .iov_len = buffers_->arena().size()};
    const int answer = io_uring_register_buffers(ring_.get(), &whole, 1);
    if (answer == 0) {
      has_fixed_buffers_ = true;
      metrics().gauge(described::registered_bytes).add(static_cast<std::int64_t>(whole.iov_len));
      break;
    }
    if (answer != -ENOMEM || whole.iov_len <= min_arena_bytes) break;
    buffers_ = BufferPool::make(whole.iov_len / 2);
  }
  if (options_.registered_bytes > 0 && !has_fixed_buffers_) {
    log_info("disk_buffers_not_registered", {{"directory", directory_.path()}, {"hint", "raise LimitMEMLOCK"}});
  }
}

void UringCore::register_files() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const auto wanted = static_cast<std::uint32_t>(std::min<std::uint64_t>(limit.rlim_cur, max_fixed_files));
  if (io_uring_register_files_sparse(ring_.get(), wanted) == 0) file_slots_ = wanted;
}

DiskFileId UringCore::add_file(UringFile file) {
  const auto [id, slot] = files_.add(std::move(file));
  const std::uint32_t index = Files::index_of(id);
  const int fd = slot->entry.fd.get();
  slot->entry.is_fixed = index < file_slots_ && io_uring_register_files_update(ring_.get(), index, &fd, 1) == 1;
  return id;
}

UniqueFd UringCore::take_file(DiskFileId file) {
  UringFile taken = files_.remove(file);
  const int none = -1;
  if (taken.is_fixed) io_uring_register_files_update(ring_.get(), Files::index_of(file), &none, 1);
  return std::move(taken.fd);
}

Status UringCore::usable() const {
  if (closed_) return Error(Code::unavailable, "the disk is shut down");
  return ok();
}

template <class T>
void UringCore::refuse(Completion<T> done, Error error) {
  asio::post(executor_, [done = std::move(done), error = std::move(error)]() mutable { done(std::move(error)); });
}

Error UringCore::overloaded() const {
  return Error(Code::overloaded, std::to_string(waiting_.size()) + " operations wait for the disk; try again later");
}

UringCore::Operation* UringCore::take_operation() {
  if (free_.empty()) return &operations_.emplace_back();
  Operation* operation = free_.back();
  free_.pop_back();
  return operation;
}

void UringCore::release(Operation* operation) {
  operation->slot = nullptr;
  operation->transferred = 0;
  free_.push_back(operation);
}

Task<> UringCore::transfer(UringRequest::Kind kind, DiskFileId file, std::uint64_t offset, std::span<std::byte> memory) {
  auto start = [this, kind, file, offset, memory](Completion<> done) {
    if (auto status = usable(); !status) return refuse(std::move(done), std::move(status).error());
    Files::Slot* slot = files_.find(file);
    if (slot == nullptr) return refuse(std::move(done), not_open(file));
    auto range = check_range(slot->entry.caching, offset, memory.data(), memory.size());
    if (!range) return refuse(std::move(done), std::move(range).error());
    if (is_full()) return refuse(std::move(done), overloaded());
    Operation* operation = take_operation();
    const bool is_fixed = slot->entry.is_fixed;
    operation->request = {.kind = kind,
                          .is_fixed_file = is_fixed,
                          .is_fixed_buffer = has_fixed_buffers_ && buffers_->contains(memory.data(), memory.size()),
                          .fd = is_fixed ? static_cast<int>(Files::index_of(file)) : slot->entry.fd.get(),
                          .offset = offset,
                          .length_bytes = memory.size(),
                          .memory = memory.data()};
    operation->slot = slot;
    operation->done = std::move(done);
    ++slot->in_flight;
    enqueue(operation);
  };
  return await_completion<>(start);
}

Task<int> UringCore::ask(UringRequest request) {
  auto start = [this, request](Completion<int> done) {
    if (is_full()) return refuse(std::move(done), overloaded());
    Operation* operation = take_operation();
    operation->request = request;
    operation->answer = std::move(done);
    enqueue(operation);
  };
  return await_completion<int>(start);
}

Task<> UringCore::ask_file(DiskFileId file, UringRequest request, std::string_view verb) {
  CO_CHECK_OK(usable());
  Files::Slot* slot = files_.find(file);
  if (slot == nullptr) co_return not_open(file);
  const Call call(shared_from_this());
  request.is_fixed_file = slot->entry.is_fixed;
  request.fd = slot->entry.is_fixed ? static_cast<int>(Files::index_of(file)) : slot->entry.fd.get();
  ++slot->in_flight;
  auto answer = co_await ask(request);
  Status status = ok();
  if (!answer) status = std::move(answer).error();
  else if (*answer < 0) status = directory_.error(-*answer, verb, slot->entry.name);
  if (!status) described::count_error("io_uring", status.code());
  done_with(slot);
  co_return status;
}

void UringCore::enqueue(Operation* operation) {
  ++active_;
  waiting_.push_back(operation);
  if (!in_turn_) post_turn();
}

void UringCore::post_turn() {
  if (std::exchange(turn_posted_, true)) return;
  asio::post(executor_, [self = shared_from_this()] {
    self->turn_posted_ = false;
    self->turn();
  });
}

// The first turn makes this thread the ring's issuer (IORING_SETUP_R_DISABLED until then): a disk may be opened elsewhere.
bool UringCore::adopt_thread() {
  if (issuer_ != std::thread::id{}) {
    assert(issuer_ == std::this_thread::get_id() && "a disk is used by the thread of its executor alone");
    return true;
  }
  issuer_ = std::this_thread::get_id();
  if (start_ring(*ring_)) return true;
  log_error("disk_ring_not_started", {{"directory", directory_.path()}});
  for (Operation* each : std::exchange(waiting_, {})) complete(each, -EIO);
  issuer_ = {};
  return false;
}

void UringCore::fill_submissions() {
  while (!waiting_.empty() && in_flight_ < options_.queue_depth) {
    io_uring_sqe* sqe = io_uring_get_sqe(ring_.get());
    if (sqe == nullptr) return;  // after the next enter
    Operation* operation = waiting_.front();
    waiting_.pop_front();
    prepare(sqe, operation->request, operation->transferred);
    io_uring_sqe_set_data(sqe, operation);
    ++in_flight_;
  }
}

// Submits, and lets the kernel post what is complete (IORING_SETUP_DEFER_TASKRUN does that nowhere else).
void UringCore::enter() {
  metrics_.enters.add();
  io_uring_submit_and_get_events(ring_.get());
}

// Something that was completed is not reaped yet, or not even posted.
bool UringCore::has_work() const {
  return io_uring_cq_ready(ring_.get()) > 0 || (IO_URING_READ_ONCE(*ring_->sq.kflags) & IORING_SQ_TASKRUN) != 0;
}

void UringCore::turn() {
  if (in_turn_ || abandoned_ || !adopt_thread()) return;
  const auto self = shared_from_this();  // a resumed coroutine may drop the disk
  in_turn_ = true;
  // What completes from here on is reaped here: it needs to wake nobody.
  io_uring_cq_eventfd_toggle(ring_.get(), false);
  for (int round = 0; round < rounds_per_turn; ++round) {
    fill_submissions();
    if (io_uring_sq_ready(ring_.get()) > 0 || has_work()) enter();
    const bool went_on = reap();
    if (abandoned_) return;
    if (!went_on) break;
  }
  fill_submissions();
  if (io_uring_sq_ready(ring_.get()) > 0) enter();
  io_uring_cq_eventfd_toggle(ring_.get(), true);
  std::atomic_thread_fence(std::memory_order_seq_cst);  // either the kernel sees the toggle, or this sees its work
  in_turn_ = false;
  report_load();
  // Also when the kernel took less than it was given (it was short of memory).
  if (has_work() || io_uring_sq_ready(ring_.get()) > 0) post_turn();
  arm();
}

// While a batch of completions is served, what they asked for next waits for its end, and the device has the less to do:
// with 8 in flight that cost a tenth of the speed. So it goes in early once it is a sixteenth of what is in flight.
void UringCore::feed_device() {
  constexpr std::uint32_t share = 16;
  fill_submissions();
  const unsigned ready = io_uring_sq_ready(ring_.get());
  if (ready == 0 || ready * share < in_flight_) return;
  metrics_.enters.add();
  io_uring_submit(ring_.get());
}

bool UringCore::reap() {
  struct Ended {
    Operation* operation;
    int answer;
  };
  std::size_t total = 0;
  while (true) {
    std::array<io_uring_cqe*, reap_batch> cqes;
    std::array<Ended, reap_batch> ended;
    const unsigned count = io_uring_peek_batch_cqe(ring_.get(), cqes.data(), reap_batch);
    if (count == 0) break;
    for (unsigned i = 0; i < count; ++i) {
      ended[i] = {.operation = static_cast<Operation*>(io_uring_cqe_get_data(cqes[i])), .answer = cqes[i]->res};
    }
    io_uring_cq_advance(ring_.get(), count);
    in_flight_ -= count;
    total += count;
    for (unsigned i = 0; i < count; ++i) {
      complete(ended[i].operation, ended[i].answer);
      // A caller dropped the disk, and the rest of the calls with it: the kernel was done with them.
      if (abandoned_) return false;
      if (i + 1 < count) feed_device();
    }
    if (count < reap_batch) break;
  }
  if (total > 0) metrics_.completions.add(total);
  return total > 0;
}

// A short transfer goes on where it stopped; an end of file in a read is `corrupt`.
bool UringCore::continues(Operation* operation, int answer, Status& status) {
  const UringRequest& request = operation->request;
  const bool is_read = request.kind == UringRequest::Kind::read;
  const std::string& name = operation->slot->entry.name;
  if (answer == -EINTR) return true;
  if (answer < 0) {
    const bool at_end = is_read && answer == -EINVAL && operation->transferred > 0;  // inside of a sector
    status = at_end ? short_read(name, request.offset, request.length_bytes)
                    : directory_.error(-answer, is_read ? "read" : "write", name);
    return false;
  }
  operation->transferred += static_cast<std::uint64_t>(answer);
  if (operation->transferred == request.length_bytes) {
    status = ok();
    return false;
  }
  if (answer > 0) return true;
  status = is_read ? short_read(name, request.offset, request.length_bytes) : directory_.error(EIO, "write", name);
  return false;
}

void UringCore::complete(Operation* operation, int answer) {
  if (operation->answer) {
    Completion<int> done = std::move(operation->answer);
    release(operation);
    done(answer);
    call_ended();
    return;
  }
  Status status = ok();
  const bool whole = answer >= 0 && static_cast<std::uint64_t>(answer) == operation->request.length_bytes;
  if (!whole && continues(operation, answer, status)) {
    waiting_.push_front(operation);
    return;
  }
  if (!status) described::count_error("io_uring", status.code());
  Completion<> done = std::move(operation->done);
  Files::Slot* slot = operation->slot;
  release(operation);
  done_with(slot);
  done(std::move(status));
  call_ended();
}

void UringCore::done_with(Files::Slot* slot) {
  if (--slot->in_flight > 0 || !slot->closer) return;
  asio::post(executor_, [done = std::move(slot->closer)]() mutable { done(ok()); });
}

void UringCore::call_ended() {
  if (--active_ > 0) return;
  for (Completion<>& each : std::exchange(drainers_, {})) {
    asio::post(executor_, [done = std::move(each)]() mutable { done(ok()); });
  }
}

// Read rather than only waited for: it stays readable until it is read, and Asio then waits without an epoll_ctl.
void UringCore::arm() {
  if (in_flight_ == 0) {
    if (armed_) wake_->cancel();  // else it would keep an idle executor running
    return;
  }
  if (std::exchange(armed_, true)) return;
  auto woken = [self = shared_from_this()](const boost::system::error_code& failed, std::size_t) {
    self->armed_ = false;
    if (!failed) self->turn();
    else if (self->in_flight_ > 0 && self->wake_) self->arm();  // cancelled, and then there was work again
  };
  wake_->async_read_some(asio::buffer(&wakes_, sizeof wakes_), std::move(woken));
}

void UringCore::report_load() {
  const auto in_flight = static_cast<std::int64_t>(in_flight_);
  const auto waiting = static_cast<std::int64_t>(waiting_.size());
  if (in_flight != shown_in_flight_) metrics_.in_flight.add(in_flight - std::exchange(shown_in_flight_, in_flight));
  if (waiting != shown_waiting_) metrics_.waiting.add(waiting - std::exchange(shown_waiting_, waiting));
}

Task<> UringCore::drain() {
  closed_ = true;
  auto start = [this](Completion<> done) { drainers_.push_back(std::move(done)); };
  while (active_ > 0) CO_CHECK_OK(co_await await_completion<>(start));
  co_return ok();
}

void UringCore::abandon() {
  closed_ = true;
  abandoned_ = true;
  wake_.reset();
  waiting_.clear();
  // On another thread the issuer is gone, and its end has completed or cancelled all it had submitted.
  const bool is_issuer = issuer_ == std::this_thread::get_id();
  while (in_flight_ > 0) {
    if (is_issuer) {
      io_uring_submit_and_wait(ring_.get(), 1);
    } else {
      pollfd readable{.fd = ring_->ring_fd, .events = POLLIN};
      constexpr int patience_ms = 100;
      ::poll(&readable, 1, patience_ms);
    }
    io_uring_cqe* cqe = nullptr;
    while (io_uring_peek_cqe(ring_.get(), &cqe) == 0 && cqe != nullptr) {
      io_uring_cqe_seen(ring_.get(), cqe);
      --in_flight_;
    }
  }
  report_load();
  end_ring(*ring_, is_issuer);
  operations_.clear();  // and with them the callers' frames
}

}  // namespace hearth::disk
