#include "worker/range_reads.h"

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <utility>

namespace hearth::worker {

struct RangeReads::Wanted {
  enum class How : std::uint8_t { by_range, alone };
  PageIndex page;
  std::shared_ptr<Event> settled;
  How how = How::by_range;
  Result<FetchedPage> outcome;
};

// Returned to the idle ones when the last page of it is done with.
struct RangeReads::Buffer {
  Buffer(std::shared_ptr<FetchBuffers> pool_in, std::size_t length, Admission::Ticket room_in)
      : pool(std::move(pool_in)), bytes(pool->take(length)), room(std::move(room_in)) {}
  ~Buffer() { pool->give_back(std::move(bytes)); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  std::shared_ptr<FetchBuffers> pool;
  FetchBuffers::Buffer bytes;
  Admission::Ticket room;
};

// Consecutive pages of one block, and how many of them are settled.
struct RangeReads::Run {
  std::shared_ptr<OpenStore> store;
  BlockRef block;
  Pages pages;
  std::size_t landed = 0;
  std::shared_ptr<Buffer> buffer;
  std::size_t told = 0;  // pages; on the store's thread, one call at a time

  std::uint64_t begin() const { return std::uint64_t{pages.front()->page.value} * block.page_size_bytes; }
  std::uint64_t length() const {
    return std::uint64_t{pages.size() - 1} * block.page_size_bytes + block.page_length_bytes(pages.back()->page);
  }
  void land_first(std::size_t count) {
    for (; landed < count; ++landed) {
      Wanted& wanted = *pages[landed];
      const std::size_t at = landed * block.page_size_bytes;
      const std::span<std::byte> all = buffer->bytes.first(length());
      FetchedPage page;
      page.bytes = all.subspan(at, block.page_length_bytes(wanted.page));
      page.holder = buffer;
      wanted.outcome = std::move(page);
      wanted.settled->set();
    }
  }
  void fail_rest(const Error& why) {
    for (; landed < pages.size(); ++landed) {
      pages[landed]->outcome = why;
      pages[landed]->settled->set();
    }
  }
};

RangeReads::RangeReads(TaskGroup& tasks, Clock& clock, RangeReadsOptions options)
    : tasks_(tasks), clock_(clock), options_(options), budget_(tasks.executor(), options.budget_bytes, options.max_waiting),
      buffers_(std::make_shared<FetchBuffers>(options.idle_buffer_bytes)) {}

Task<FetchedPage> RangeReads::read(std::shared_ptr<OpenStore> store, BlockRef block, PageIndex page,
                                   std::span<std::byte> into) {
  if (block.page_count() == 1) {
    // Most files of most trees: no neighbour will come, so there is nothing to wait for.
    Result<FetchedPage> whole = co_await read_alone(std::move(store), std::move(block), page, into);
    co_return whole;
  }
  auto wanted = std::make_shared<Wanted>();
  wanted->page = page;
  wanted->settled = std::make_shared<Event>(tasks_.executor());
  Group& group = pending_[block.id];
  group.store = store;
  group.block = block;
  group.pages.push_back(wanted);
  if (!flushing_) {
    flushing_ = true;
    const Status spawned = tasks_.spawn(flush(), "range_reads");
    if (!spawned) {
      flushing_ = false;
      pending_.clear();
      co_return spawned.error();
    }
  }
  CO_CHECK_OK(co_await Event::wait(wanted->settled));
  if (wanted->how == Wanted::How::by_range) co_return std::move(wanted->outcome);
  Result<FetchedPage> alone = co_await read_alone(std::move(store), std::move(block), page, into);
  co_return alone;
}

Task<FetchedPage> RangeReads::read_alone(std::shared_ptr<OpenStore> store, BlockRef block, PageIndex page,
                                         std::span<std::byte> into) {
  const std::uint64_t offset = block.start.value + std::uint64_t{page.value} * block.page_size_bytes;
  const Deadline deadline = Deadline::after(clock_, options_.timeout);
  CO_CHECK_OK(co_await store->store->read(block.store_path, block.version, offset, into, deadline));
  FetchedPage read;
  read.bytes = into;
  co_return read;
}

// Runs after everything that is ready now, so that it sees the whole of what one reader asks for.
Task<> RangeReads::flush() {
  co_await asio::post(asio::use_awaitable);
  flushing_ = false;
  std::unordered_map<BlockId, Group, BlockIdHash> groups = std::exchange(pending_, {});
  for (auto& [id, group] : groups) start_runs(std::move(group));
  co_return ok();
}

void RangeReads::start_runs(Group group) {
  const std::uint64_t page_size = group.block.page_size_bytes;
  const std::uint64_t preferred = std::min(group.store->store->capabilities().preferred_read_bytes, options_.budget_bytes);
  const std::size_t most = std::max<std::size_t>(1, preferred / page_size);
  std::sort(group.pages.begin(), group.pages.end(),
            [](const auto& a, const auto& b) { return a->page.value < b->page.value; });
  for (std::size_t first = 0; first < group.pages.size();) {
    std::size_t end = first + 1;
    while (end < group.pages.size() && end - first < most &&
           group.pages[end]->page.value == group.pages[end - 1]->page.value + 1) {
      ++end;
    }
    if (end - first == 1) {
      group.pages[first]->how = Wanted::How::alone;
      group.pages[first]->settled->set();
    } else {
      auto run = std::make_shared<Run>();
      run->store = group.store;
      run->block = group.block;
      run->pages.assign(group.pages.begin() + static_cast<std::ptrdiff_t>(first),
                        group.pages.begin() + static_cast<std::ptrdiff_t>(end));
      const Status spawned = tasks_.spawn(fetch(run), "range_fetch");
      if (!spawned) run->fail_rest(spawned.error());
    }
    first = end;
  }
}

Task<> RangeReads::fetch(std::shared_ptr<Run> run) {
  Status read = co_await read_range(run);
  if (read) {
    run->land_first(run->pages.size());
  } else {
    if (run->buffer) run->land_first(run->told);  // their news may still be on its way
    run->fail_rest(read.error());
  }
  run->buffer.reset();
  co_return ok();  // whoever waits for the pages has the error
}

Task<> RangeReads::read_range(std::shared_ptr<Run> run) {
  CO_TRY(room, co_await budget_.acquire(run->length()));
  run->buffer = std::make_shared<Buffer>(buffers_, run->length(), std::move(room));
  ReadOptions options;
  // Weak: a run that has ended needs no news.
  options.progress = [weak = std::weak_ptr<Run>(run), executor = tasks_.executor()](std::uint64_t have) {
    const std::shared_ptr<Run> running = weak.lock();
    if (!running) return;
    const std::size_t pages = have / running->block.page_size_bytes;
    if (pages <= running->told) return;
    running->told = pages;
    asio::post(executor, [running, pages] {
      if (running->buffer) running->land_first(pages);
    });
  };
  const std::span<std::byte> into = run->buffer->bytes.first(run->length());
  const std::uint64_t offset = run->block.start.value + run->begin();
  const Deadline deadline = Deadline::after(clock_, options_.timeout);
  Status read = co_await run->store->store->read_with(run->block.store_path, run->block.version, offset, into,
                                                      std::move(options), deadline);
  co_return read;
}

}  // namespace hearth::worker
