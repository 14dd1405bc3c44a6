// The ring of one disk: operations wait in order, go in together once per turn of the event loop, and their completions
// resume the awaiting coroutines directly.
//
// Threads: confined to the executor, whose thread becomes the ring's only issuer with the first operation.
// Owns:    the ring, its open files, and each operation until the kernel is done with it, whatever became of the caller.
// Fails:   make() with `unsupported`; operations with `overloaded`, `unavailable` (closed) and what the kernel answers.
#pragma once

#include "tiering/disk/buffer_pool.h"
#include "tiering/disk/completion.h"
#include "tiering/disk/file_table.h"
#include "tiering/disk/metrics.h"
#include "tiering/disk/posix_directory.h"

#include <boost/asio/posix/stream_descriptor.hpp>

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

struct io_uring;
struct io_uring_sqe;

namespace hearth::disk {

struct UringFile {
  std::string name;
  UniqueFd fd;
  DiskCaching caching = DiskCaching::direct;
  bool is_fixed = false;  // registered under its index of the table
};

// What the kernel is asked to do. Plain: copied into the submission.
struct UringRequest {
  enum class Kind : std::uint8_t { read, write, sync, fallocate, open, close, unlink, rename, make_directory };
  Kind kind = Kind::read;
  bool is_fixed_file = false;
  bool is_fixed_buffer = false;
  int fd = -1;             // descriptor, or index of a fixed file
  int to_directory = -1;   // rename
  std::uint32_t mode = 0;  // fallocate, make_directory
  std::uint64_t offset = 0;
  std::uint64_t length_bytes = 0;
  std::byte* memory = nullptr;
  const char* path = nullptr;     // these live in the caller's frame, which waits
  const char* to_path = nullptr;
  void* how = nullptr;            // open_how
};

class UringCore : public std::enable_shared_from_this<UringCore> {
 public:
  using Files = FileTable<UringFile>;

  static Result<std::shared_ptr<UringCore>> make(PosixDirectory& directory, const DiskOptions& options, Executor executor);
  ~UringCore();
  UringCore(const UringCore&) = delete;
  UringCore& operator=(const UringCore&) = delete;

  // All of `memory`, from an open file. Suspends once, allocates nothing but its frame.
  Task<> transfer(UringRequest::Kind kind, DiskFileId file, std::uint64_t offset, std::span<std::byte> memory);
  // What the kernel answered, negative for an errno. The memory it refers to must live until it ends.
  Task<int> ask(UringRequest request);
  // The same for an open file, which stays open meanwhile.
  Task<> ask_file(DiskFileId file, UringRequest request, std::string_view verb);

  // The end of a use that was counted in slot->in_flight.
  void done_with(Files::Slot* slot);
  DiskFileId add_file(UringFile file);
  UniqueFd take_file(DiskFileId file);

  // A call that consists of several operations; shut_down() waits for its end.
  class Call {
   public:
    explicit Call(std::shared_ptr<UringCore> core) : core_(std::move(core)) { ++core_->active_; }
    ~Call() { core_->call_ended(); }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

   private:
    std::shared_ptr<UringCore> core_;  // shared: a frame may be destroyed after the disk
  };

  Status usable() const;
  Task<> drain();  // refuses later calls and waits for all
  // Waits for the kernel, dropping the callers: for a disk that goes away without drain().
  void abandon();

  Files& files() { return files_; }
  PosixDirectory& directory() { return directory_; }
  BufferPool& buffers() { return *buffers_; }
  const Executor& executor() const { return executor_; }

 private:
  struct Operation {
    UringRequest request;
    std::uint64_t transferred = 0;
    Files::Slot* slot = nullptr;
    Completion<> done;       // of transfer()
    Completion<int> answer;  // of ask()
  };
  struct Metrics {
    Gauge& in_flight;
    Gauge& waiting;
    Counter& completions;
    Counter& enters;
  };

  UringCore(PosixDirectory& directory, const DiskOptions& options, Executor executor, std::unique_ptr<io_uring> ring);
  void register_memory();
  void register_files();
  // Free places of the kernel's share count too: what is queued in this turn has not taken them yet.
  bool is_full() const { return waiting_.size() + in_flight_ >= options_.max_waiting + options_.queue_depth; }
  Error overloaded() const;
  Operation* take_operation();
  void enqueue(Operation* operation);
  bool adopt_thread();
  void fill_submissions();
  void enter();
  bool has_work() const;
  void turn();
  void post_turn();
  bool reap();
  void feed_device();
  void complete(Operation* operation, int answer);
  bool continues(Operation* operation, int answer, Status& status);
  void release(Operation* operation);
  void call_ended();
  void arm();
  void report_load();
  template <class T>
  void refuse(Completion<T> done, Error error);

  // Set once
  PosixDirectory directory_;
  DiskOptions options_;
  Executor executor_;
  std::unique_ptr<io_uring> ring_;
  std::shared_ptr<BufferPool> buffers_;  // shared with the buffers
  std::uint32_t file_slots_ = 0;         // fixed files the ring has
  bool has_fixed_buffers_ = false;
  Metrics metrics_;
  // Executor only
  std::optional<asio::posix::stream_descriptor> wake_;  // an eventfd the ring signals when there is something to reap
  std::uint64_t wakes_ = 0;                             // what was read from it
  Files files_;
  std::deque<Operation> operations_;
  std::vector<Operation*> free_;
  std::deque<Operation*> waiting_;
  std::uint32_t in_flight_ = 0;
  std::uint32_t active_ = 0;  // calls begun and not ended
  std::int64_t shown_in_flight_ = 0;
  std::int64_t shown_waiting_ = 0;
  bool closed_ = false;
  bool abandoned_ = false;
  bool in_turn_ = false;
  bool turn_posted_ = false;
  bool armed_ = false;
  std::thread::id issuer_;
  std::vector<Completion<>> drainers_;
};

}  // namespace hearth::disk
