#include "common/net/channel_pool.h"

#include "common/net/alarm.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace hearth {
namespace {

constexpr std::size_t small_slot = 0;
constexpr std::uint64_t call_overhead_bytes = 256;  // so that calls without bytes are spread as well

std::uint64_t weight_of(const RpcCall& call) { return call.body.size() + call.into.size() + call_overhead_bytes; }

// Shared: calls in flight keep it while the pool goes.
class PoolCore final : public std::enable_shared_from_this<PoolCore> {
 public:
  PoolCore(RpcContext context, Address peer, ChannelPoolOptions options)
      : context_(std::move(context)), peer_(std::move(peer)), options_(options),
        slots_(std::max<std::uint32_t>(options.max_connections, 1)) {}

  static Task<RpcReply> call(std::shared_ptr<PoolCore> self, RpcCall call, Deadline deadline);
  void close();
  bool connected() const;
  std::uint64_t connections_made() const;

  NoticeHandler notice_handler;
  std::function<void()> disconnect_handler;

 private:
  struct Slot {
    std::unique_ptr<RpcChannel> channel;
    std::uint64_t outstanding_bytes = 0;
    std::uint32_t calls = 0;
    TimePoint idle_since{};
  };
  // Counts a call on its slot, also when its coroutine is destroyed.
  class Use {
   public:
    Use(PoolCore& pool, std::size_t slot, std::uint64_t bytes) : pool_(pool), slot_(slot), bytes_(bytes) {
      pool_.began(slot_, bytes_);
    }
    ~Use() { pool_.ended(slot_, bytes_); }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    PoolCore& pool_;
    std::size_t slot_;
    std::uint64_t bytes_;
  };

  static Task<RpcReply> call_on(std::shared_ptr<PoolCore> self, std::size_t slot, RpcCall call, Deadline deadline);
  std::size_t choose(std::uint64_t bytes);
  std::optional<std::size_t> connected_instead_of(std::size_t failed) const;
  void open(std::size_t slot);
  void shrink(std::size_t slot);
  void began(std::size_t slot, std::uint64_t bytes);
  void ended(std::size_t slot, std::uint64_t bytes);
  void look_around();

  // Set once
  RpcContext context_;
  Address peer_;
  ChannelPoolOptions options_;
  // Executor only
  std::vector<Slot> slots_;
  std::shared_ptr<Alarm> alarm_;
  std::uint64_t made_by_closed_ = 0;
  TimePoint grow_from_{};
  bool closed_ = false;
};

// ---- calls -------------------------------------------------------------------------------

Task<RpcReply> PoolCore::call(std::shared_ptr<PoolCore> self, RpcCall call, Deadline deadline) {
  if (self->closed_) {
    co_return Error(Code::cancelled, "the connections to " + self->peer_.to_string() + " were closed by this process");
  }
  const std::size_t slot = self->choose(weight_of(call));
  self->open(slot);
  const bool spare = !self->slots_[slot].channel->connected() && self->connected_instead_of(slot).has_value();
  if (!spare) {
    Result<RpcReply> reply = co_await call_on(self, slot, std::move(call), deadline);
    co_return reply;
  }
  // There is a connection that works, so a new one that does not come about must not fail the call.
  RpcCall again = call;
  const std::uint64_t made_before = self->slots_[slot].channel->connections_made();
  Result<RpcReply> reply = co_await call_on(self, slot, std::move(call), deadline);
  const std::unique_ptr<RpcChannel>& channel = self->slots_[slot].channel;
  const bool never_sent = !channel || channel->connections_made() == made_before;
  if (reply || reply.code() != Code::unavailable || !never_sent || self->closed_) co_return reply;
  self->grow_from_ = self->context_.clock.now() + self->options_.grow_again_after;
  self->shrink(slot);
  const std::optional<std::size_t> other = self->connected_instead_of(slot);
  if (!other) co_return reply;
  reply = co_await call_on(self, *other, std::move(again), deadline);
  co_return reply;
}

Task<RpcReply> PoolCore::call_on(std::shared_ptr<PoolCore> self, std::size_t slot, RpcCall call, Deadline deadline) {
  const Use use(*self, slot, weight_of(call));
  Task<RpcReply> running = self->slots_[slot].channel->call(std::move(call), deadline);
  Result<RpcReply> reply = co_await std::move(running);
  co_return reply;
}

std::size_t PoolCore::choose(std::uint64_t bytes) {
  if (slots_.size() == 1) return 0;
  const bool may_grow = context_.clock.now() >= grow_from_;
  if (bytes < options_.large_bytes) {
    if (slots_[small_slot].channel || may_grow) return small_slot;
    return connected_instead_of(small_slot).value_or(small_slot);
  }
  std::size_t best = 0;  // none
  std::size_t closed = 0;
  for (std::size_t i = slots_.size(); i-- > small_slot + 1;) {
    if (!slots_[i].channel) {
      closed = i;
    } else if (best == 0 || slots_[i].outstanding_bytes <= slots_[best].outstanding_bytes) {
      best = i;
    }
  }
  if (best == 0) return may_grow ? closed : connected_instead_of(closed).value_or(closed);
  const bool busy = slots_[best].outstanding_bytes >= options_.busy_bytes;
  return busy && closed != 0 && may_grow ? closed : best;
}

std::optional<std::size_t> PoolCore::connected_instead_of(std::size_t failed) const {
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (i == failed || !slots_[i].channel || !slots_[i].channel->connected()) continue;
    if (!best || slots_[i].outstanding_bytes < slots_[*best].outstanding_bytes) best = i;
  }
  return best;
}

// ---- connections -------------------------------------------------------------------------

void PoolCore::open(std::size_t slot) {
  Slot& opened = slots_[slot];
  if (opened.channel) return;
  opened.channel = make_rpc_channel(context_, peer_);
  // What a channel reports late must not reach a pool that is gone.
  opened.channel->on_notice([weak = weak_from_this()](Method method, std::string body) {
    const auto self = weak.lock();
    if (!self || !self->notice_handler) return;
    const NoticeHandler handler = self->notice_handler;  // it may close this pool
    handler(method, std::move(body));
  });
  opened.channel->on_disconnect([weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self || !self->disconnect_handler) return;
    const std::function<void()> handler = self->disconnect_handler;
    handler();
  });
}

void PoolCore::shrink(std::size_t slot) {
  Slot& idle = slots_[slot];
  if (!idle.channel || idle.calls != 0) return;
  made_by_closed_ += idle.channel->connections_made();
  idle.channel.reset();
}

void PoolCore::began(std::size_t slot, std::uint64_t bytes) {
  slots_[slot].outstanding_bytes += bytes;
  ++slots_[slot].calls;
}

void PoolCore::ended(std::size_t slot, std::uint64_t bytes) {
  Slot& used = slots_[slot];
  used.outstanding_bytes -= bytes;
  if (--used.calls != 0 || closed_ || slots_.size() == 1) return;
  used.idle_since = context_.clock.now();
  // The alarm is stopped by close(), which the pool's destructor calls: `this` outlives it.
  if (!alarm_) alarm_ = Alarm::make(context_.executor, context_.clock, [this] { look_around(); });
  alarm_->ring_by(used.idle_since + options_.idle_after);
}

void PoolCore::look_around() {
  const auto keep = shared_from_this();
  const TimePoint now = context_.clock.now();
  TimePoint next = TimePoint::max();
  bool kept = false;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i].channel) continue;
    if (!std::exchange(kept, true) || slots_[i].calls != 0) continue;
    const TimePoint idle_until = slots_[i].idle_since + options_.idle_after;
    if (now >= idle_until) {
      shrink(i);
    } else {
      next = std::min(next, idle_until);
    }
  }
  if (next != TimePoint::max()) alarm_->ring_by(next);
}

void PoolCore::close() {
  if (std::exchange(closed_, true)) return;
  notice_handler = nullptr;
  disconnect_handler = nullptr;
  for (Slot& slot : slots_) {
    if (slot.channel) slot.channel->close();
  }
  if (alarm_) alarm_->stop();
}

bool PoolCore::connected() const {
  return std::ranges::any_of(slots_, [](const Slot& slot) { return slot.channel && slot.channel->connected(); });
}

std::uint64_t PoolCore::connections_made() const {
  std::uint64_t made = made_by_closed_;
  for (const Slot& slot : slots_) made += slot.channel ? slot.channel->connections_made() : 0;
  return made;
}

// ---- the handle --------------------------------------------------------------------------

class Pool final : public RpcChannel {
 public:
  Pool(RpcContext context, Address peer, ChannelPoolOptions options)
      : core_(std::make_shared<PoolCore>(std::move(context), std::move(peer), options)) {}
  ~Pool() override { core_->close(); }

  Task<RpcReply> call(RpcCall call, Deadline deadline) override {
    return PoolCore::call(core_, std::move(call), deadline);
  }
  void on_notice(NoticeHandler handler) override { core_->notice_handler = std::move(handler); }
  void on_disconnect(std::function<void()> handler) override { core_->disconnect_handler = std::move(handler); }
  bool connected() const override { return core_->connected(); }
  std::uint64_t connections_made() const override { return core_->connections_made(); }
  void close() override { core_->close(); }

 private:
  std::shared_ptr<PoolCore> core_;
};

}  // namespace

std::unique_ptr<RpcChannel> make_channel_pool(RpcContext context, Address peer, ChannelPoolOptions options) {
  return std::make_unique<Pool>(std::move(context), std::move(peer), options);
}

}  // namespace hearth
