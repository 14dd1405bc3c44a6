#include "tiering/disk/threads_disk.h"

#include "common/blocking.h"
#include "tiering/disk/buffer_pool.h"
#include "tiering/disk/disk_name.h"
#include "tiering/disk/file_table.h"
#include "tiering/disk/metrics.h"
#include "tiering/disk/operation_gate.h"

#include <boost/asio/post.hpp>

#include <set>
#include <utility>

namespace hearth::disk {
namespace {

struct OpenFile {
  std::string name;
  UniqueFd fd;
  DiskCaching caching = DiskCaching::direct;
};

class ThreadsDisk final : public Disk {
 public:
  ThreadsDisk(PosixDirectory directory, const DiskOptions& options, DiskTraits traits, Executor executor)
      : directory_(std::move(directory)), traits_(std::move(traits)), executor_(executor),
        buffers_(BufferPool::make(options.registered_bytes)),
        gate_(executor, static_cast<std::uint32_t>(options.fallback_threads), options.max_waiting),
        pool_(options.fallback_threads, options.fallback_threads) {}

  const DiskTraits& traits() const override { return traits_; }
  DiskBuffer buffer(std::uint64_t length_bytes) override { return buffers_->take(length_bytes); }
  Task<DiskFileId> open(std::string name, DiskOpen how, DiskCaching caching) override;
  Task<> close(DiskFileId file) override;
  Task<> read(DiskFileId file, std::uint64_t offset, std::span<std::byte> into) override;
  Task<> write(DiskFileId file, std::uint64_t offset, std::span<const std::byte> bytes) override;
  Task<> sync(DiskFileId file) override;
  Task<> allocate(DiskFileId file, std::uint64_t length_bytes) override;
  Task<> truncate(DiskFileId file, std::uint64_t length_bytes) override;
  Task<> punch(DiskFileId file, std::uint64_t offset, std::uint64_t length_bytes) override;
  Task<std::uint64_t> length_bytes(DiskFileId file) override;
  Result<UniqueFd> share(DiskFileId file) override;
  Task<> remove(std::string name) override;
  Task<> rename(std::string from, std::string to) override;
  Task<> sync_directory() override;
  Task<std::vector<DiskEntry>> list(std::string after, std::size_t limit) override;
  Task<DiskSpace> space() override;
  Task<> check_place() override;
  Task<> shut_down() override;

 private:
  using Slot = FileTable<OpenFile>::Slot;

  // `work` on a thread, when it is its turn. The task ends when the thread is done, cancelled or not.
  template <class T>
  Task<T> run(std::function<Result<T>()> work);
  Task<> run_on(DiskFileId file, std::function<Status(const PosixFile&)> work);
  PosixFile view(const Slot& slot) const {
    return {.directory = &directory_, .fd = slot.entry.fd.get(), .name = slot.entry.name};
  }
  void note_changed(const std::string& name);

  // Set once
  PosixDirectory directory_;
  DiskTraits traits_;
  described::OpenDisk shown_{traits_.engine, traits_.direct ? "yes" : "no"};
  Gauge& in_flight_ = metrics().gauge(described::in_flight, {"threads"});
  Gauge& waiting_ = metrics().gauge(described::waiting, {"threads"});
  Counter& completions_ = metrics().counter(described::completions_total, {"threads"});
  Executor executor_;
  std::shared_ptr<BufferPool> buffers_;  // shared with the buffers
  // Executor only
  OperationGate gate_;
  FileTable<OpenFile> files_;
  std::set<std::string> changed_directories_;
  // Joined first
  BlockingPool pool_;
};

template <class T>
Task<T> ThreadsDisk::run(std::function<Result<T>()> work) {
  waiting_.add(1);
  auto entered = co_await gate_.enter();
  waiting_.add(-1);
  if (!entered) co_return std::move(entered).error();
  in_flight_.add(1);
  auto result = co_await pool_.run<T>(std::move(work));
  in_flight_.add(-1);
  completions_.add();
  gate_.leave();
  co_return std::move(result);
}

Task<> ThreadsDisk::run_on(DiskFileId file, std::function<Status(const PosixFile&)> work) {
  Slot* slot = files_.find(file);
  if (slot == nullptr) co_return not_open(file);
  ++slot->in_flight;
  const PosixFile open = view(*slot);
  std::function<Status()> job = [open, work = std::move(work)] { return work(open); };
  auto result = co_await run<void>(std::move(job));
  if (!result) described::count_error("threads", result.code());
  if (--slot->in_flight == 0 && slot->closer) {
    asio::post(executor_, [done = std::move(slot->closer)]() mutable { done(ok()); });
  }
  co_return std::move(result);
}

void ThreadsDisk::note_changed(const std::string& name) {
  changed_directories_.emplace(directory_of(name));
  changed_directories_.emplace("");  // the subdirectory may be new itself
}

Task<DiskFileId> ThreadsDisk::open(std::string name, DiskOpen how, DiskCaching caching) {
  CO_CHECK_OK(check_name(name));
  const DiskCaching real = traits_.direct ? caching : DiskCaching::buffered;
  std::function<Result<UniqueFd>()> work = [this, &name, how, real]() -> Result<UniqueFd> {
    TRY(file, directory_.open_file(name, how, real));
    const PosixFile opened{.directory = &directory_, .fd = file.get(), .name = name};
    TRY(length, opened.length_bytes());
    static_cast<void>(length);
    return file;
  };
  auto opened = co_await run<UniqueFd>(std::move(work));
  if (!opened) co_return std::move(opened).error();
  if (how != DiskOpen::existing) note_changed(name);
  OpenFile entry{.name = std::move(name), .fd = std::move(opened).value(), .caching = caching};
  co_return files_.add(std::move(entry)).first;
}

Task<> ThreadsDisk::close(DiskFileId file) {
  Slot* slot = files_.find(file);
  if (slot == nullptr) co_return not_open(file);
  slot->closing = true;
  if (slot->in_flight > 0) {
    auto wait = [slot](Completion<> done) { slot->closer = std::move(done); };
    CO_CHECK_OK(co_await await_completion<>(wait));
  }
  auto entry = std::make_shared<OpenFile>(files_.remove(file));  // shared: a std::function must be copyable
  std::function<Status()> work = [entry] {
    entry->fd.reset();  // the last close of a removed file frees its blocks, which takes time
    return ok();
  };
  auto closed = co_await run<void>(std::move(work));
  co_return closed;
}

Task<> ThreadsDisk::read(DiskFileId file, std::uint64_t offset, std::span<std::byte> into) {
  Slot* slot = files_.find(file);
  if (slot == nullptr) co_return not_open(file);
  CO_CHECK_OK(check_range(slot->entry.caching, offset, into.data(), into.size()));
  std::function<Status(const PosixFile&)> work = [offset, into](const PosixFile& open) { return open.read(offset, into); };
  auto result = co_await run_on(file, std::move(work));
  co_return result;
}

Task<> ThreadsDisk::write(DiskFileId file, std::uint64_t offset, std::span<const std::byte> bytes) {
  Slot* slot = files_.find(file);
  if (slot == nullptr) co_return not_open(file);
  CO_CHECK_OK(check_range(slot->entry.caching, offset, bytes.data(), bytes.size()));
  std::function<Status(const PosixFile&)> work = [offset, bytes](const PosixFile& open) { return open.write(offset, bytes); };
  auto result = co_await run_on(file, std::move(work));
  co_return result;
}

Task<> ThreadsDisk::sync(DiskFileId file) { return run_on(file, [](const PosixFile& open) { return open.sync(); }); }

Task<> ThreadsDisk::allocate(DiskFileId file, std::uint64_t length_bytes) {
  return run_on(file, [length_bytes](const PosixFile& open) { return open.allocate(length_bytes); });
}

Task<> ThreadsDisk::truncate(DiskFileId file, std::uint64_t length_bytes) {
  return run_on(file, [length_bytes](const PosixFile& open) { return open.truncate(length_bytes); });
}

Task<> ThreadsDisk::punch(DiskFileId file, std::uint64_t offset, std::uint64_t length_bytes) {
  return run_on(file, [offset, length_bytes](const PosixFile& open) { return open.punch(offset, length_bytes); });
}

// In the inode, which an open file keeps in memory: not worth a thread.
Task<std::uint64_t> ThreadsDisk::length_bytes(DiskFileId file) {
  const Slot* slot = files_.find(file);
  if (slot == nullptr) co_return not_open(file);
  co_return view(*slot).length_bytes();
}

Result<UniqueFd> ThreadsDisk::share(DiskFileId file) {
  const Slot* slot = files_.find(file);
  if (slot == nullptr) return not_open(file);
  return view(*slot).share();
}

Task<> ThreadsDisk::remove(std::string name) {
  CO_CHECK_OK(check_name(name));
  std::function<Status()> work = [this, &name] { return directory_.remove(name); };
  auto removed = co_await run<void>(std::move(work));
  if (removed) note_changed(name);
  co_return removed;
}

Task<> ThreadsDisk::rename(std::string from, std::string to) {
  CO_CHECK_OK(check_name(from));
  CO_CHECK_OK(check_name(to));
  std::function<Status()> work = [this, &from, &to] { return directory_.rename(from, to); };
  auto renamed = co_await run<void>(std::move(work));
  if (renamed) {
    note_changed(from);
    note_changed(to);
  }
  co_return renamed;
}

Task<> ThreadsDisk::sync_directory() {
  const std::set<std::string> directories = std::exchange(changed_directories_, {});
  std::function<Status()> work = [this, &directories] { return directory_.sync(directories); };
  auto synced = co_await run<void>(std::move(work));
  if (!synced) changed_directories_.insert(directories.begin(), directories.end());
  co_return synced;
}

Task<std::vector<DiskEntry>> ThreadsDisk::list(std::string after, std::size_t limit) {
  std::function<Result<std::vector<DiskEntry>>()> work = [this, &after, limit] { return directory_.list(after, limit); };
  auto listed = co_await run<std::vector<DiskEntry>>(std::move(work));
  co_return listed;
}

Task<DiskSpace> ThreadsDisk::space() {
  std::function<Result<DiskSpace>()> work = [this] { return directory_.space(); };
  auto found = co_await run<DiskSpace>(std::move(work));
  co_return found;
}

Task<> ThreadsDisk::check_place() {
  std::function<Status()> work = [this] { return directory_.check_place(); };
  Status found = co_await run<void>(std::move(work));
  co_return found;
}

Task<> ThreadsDisk::shut_down() {
  CO_CHECK_OK(co_await gate_.drain());
  for (const DiskFileId file : files_.ids()) static_cast<void>(files_.remove(file));
  co_return ok();
}

}  // namespace

std::unique_ptr<Disk> make_threads_disk(PosixDirectory directory, const DiskOptions& options, DiskTraits traits,
                                        Executor executor) {
  return std::make_unique<ThreadsDisk>(std::move(directory), options, std::move(traits), std::move(executor));
}

}  // namespace hearth::disk
