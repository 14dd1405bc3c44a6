#include "understore/guard/guard_core.h"

#include "common/log.h"

#include <algorithm>

namespace hearth {
namespace {

bool is_silence(Code code) {
  return code == Code::unavailable || code == Code::deadline_exceeded || code == Code::bad_frame;
}

}  // namespace

GuardCore::GuardCore(std::string store, GuardOptions options, Clock& clock, std::uint64_t seed)
    : options_(options), clock_(clock), retries_(options.retries),
      turns_(store, options.limit, options.max_waiting, clock), metrics_(store), breaker_(store, options.breaker),
      retry_budget_(options.retry_budget), hedge_(options.hedge), rng_(seed) {
  metrics_.limit(static_cast<std::int64_t>(turns_.limit()));
  metrics_.breaker(0);
}

void GuardCore::called() {
  const std::lock_guard lock(mutex_);
  retry_budget_.called();
}

CircuitBreaker::Verdict GuardCore::ask_breaker() {
  const std::lock_guard lock(mutex_);
  const CircuitBreaker::Verdict verdict = breaker_.ask(clock_.now());
  if (verdict != CircuitBreaker::Verdict::pass) metrics_.breaker(static_cast<std::int64_t>(breaker_.state()));
  return verdict;
}

Error GuardCore::refusal() {
  metrics_.refused();
  const std::lock_guard lock(mutex_);
  return breaker_.refusal(clock_.now());
}

Deadline GuardCore::probe_deadline(Deadline deadline) const {
  return deadline.sooner_of(Deadline::after(clock_, options_.breaker.probe_timeout));
}

Deadline GuardCore::attempt_deadline(Deadline deadline) const {
  if (deadline.is_never()) return Deadline::after(clock_, options_.longest_attempt);
  const Duration half = deadline.remaining(clock_.now()) / 2;
  const Duration attempt = std::clamp(half, options_.shortest_attempt, options_.longest_attempt);
  return deadline.sooner_of(Deadline::after(clock_, attempt));
}

// A caller that gave the store no time learned nothing about it, nor did one that left.
bool GuardCore::says_nothing(const Status& outcome, TimePoint began) const {
  if (outcome.code() == Code::cancelled) return true;
  return outcome.code() == Code::deadline_exceeded && clock_.now() - began < options_.counts_as_timeout;
}

void GuardCore::learn(StoreOp op, const Status& outcome, TimePoint began) {
  metrics_.attempted(op, outcome.code());
  if (says_nothing(outcome, began)) return;
  if (outcome.code() == Code::overloaded) metrics_.throttled();
  if (outcome.code() == Code::overloaded || outcome.code() == Code::deadline_exceeded) {
    turns_.overloaded(began);
  } else if (outcome) {
    turns_.kept_up();
  }
  metrics_.limit(static_cast<std::int64_t>(turns_.limit()));
  std::optional<Error> away;
  {
    const std::lock_guard lock(mutex_);
    if (!is_silence(outcome.code())) {
      // I/O errors and wrong bytes are an answer too, but no reason to believe that the store is well.
      if (outcome.code() != Code::io_error && outcome.code() != Code::corrupt) breaker_.answered(clock_.now());
    } else {
      const BreakerState before = breaker_.state();
      breaker_.failed(outcome.error(), began, clock_.now(), clock_.wall_now());
      if (before == BreakerState::closed && breaker_.state() == BreakerState::open) away = breaker_.refusal(clock_.now());
    }
    metrics_.breaker(static_cast<std::int64_t>(breaker_.state()));
  }
  if (!away) return;
  log_warn("under_store_away", {{"why", away->message()}});
  turns_.give_up(*away);
}

bool GuardCore::learn_probe(const Status& outcome, TimePoint began) {
  metrics_.attempted(StoreOp::probe, outcome.code());
  const std::lock_guard lock(mutex_);
  const bool answered = !is_silence(outcome.code()) && outcome.code() != Code::cancelled;
  if (answered) {
    breaker_.answered(clock_.now());
  } else if (outcome.code() == Code::cancelled) {
    breaker_.abandoned();
  } else {
    breaker_.failed(outcome.error(), began, clock_.now(), clock_.wall_now());
  }
  metrics_.breaker(static_cast<std::int64_t>(breaker_.state()));
  return answered;
}

std::optional<Duration> GuardCore::retry_after(const Error& why, std::uint32_t next, Repeatable repeatable,
                                               Deadline deadline) {
  if (next > retries_.max_attempts() || !RetryPolicy::worth_retrying(why.code(), repeatable)) return std::nullopt;
  const std::lock_guard lock(mutex_);
  const Duration pause = retries_.pause_before(next, why, rng_);
  if (!deadline.is_never() && deadline.remaining(clock_.now()) <= pause) return std::nullopt;
  if (!retry_budget_.take()) return std::nullopt;
  retried_.fetch_add(1, std::memory_order_relaxed);
  metrics_.retried();
  return pause;
}

std::optional<Duration> GuardCore::straggles_after(std::uint64_t length_bytes) {
  const std::lock_guard lock(mutex_);
  return hedge_.straggles_after(length_bytes, clock_.now());
}

std::optional<Turnstile::Turn> GuardCore::take_hedge() {
  // A hedge takes nobody's place in the queue.
  std::optional<Turnstile::Turn> turn = turns_.try_enter();
  if (!turn) return std::nullopt;
  const std::lock_guard lock(mutex_);
  if (breaker_.state() != BreakerState::closed || !hedge_.take()) return std::nullopt;
  hedges_sent_.fetch_add(1, std::memory_order_relaxed);
  metrics_.hedge_sent();
  return turn;
}

void GuardCore::hedge_won() {
  hedges_won_.fetch_add(1, std::memory_order_relaxed);
  metrics_.hedge_won();
}

void GuardCore::read_took(std::uint64_t length_bytes, TimePoint began) {
  const std::lock_guard lock(mutex_);
  const TimePoint now = clock_.now();
  hedge_.took(length_bytes, now - began, now);
}

GuardState GuardCore::state() const {
  const std::lock_guard lock(mutex_);
  return GuardState{.breaker = breaker_.state(), .limit = turns_.limit(), .in_flight = turns_.in_flight(),
                    .waiting = turns_.waiting(), .retries = retried_.load(), .hedges_sent = hedges_sent_.load(),
                    .hedges_won = hedges_won_.load()};
}

}  // namespace hearth
