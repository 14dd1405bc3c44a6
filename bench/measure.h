// Timing for the benchmarks: rounds of several contenders, interleaved, so that a machine that
// slows down for a while slows all of them; medians with their spread are what is reported.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace hearth::bench {

// Keeps the compiler from dropping a computation whose result nobody reads.
inline void keep(const void* pointer) { asm volatile("" : : "r"(pointer) : "memory"); }

// What one round of one contender gave.
struct Round {
  double value = 0;   // in the measurement's unit
  double p99 = 0;     // 0 when the measurement has no distribution
};

// One way of doing the work: the system under test, or its ceiling.
struct Contender {
  std::string name;
  std::function<void()> prepare;  // untimed; may be empty
  std::function<Round()> run;
};

struct Summary {
  std::string name;
  double median = 0;
  double low = 0;
  double high = 0;
  double p99 = 0;
};

enum class Better : std::uint8_t { higher, lower };

// A measurement: contenders[0] is ours, contenders[1] the ceiling that its ratio is against.
struct Measurement {
  std::string name;
  std::string unit;
  Better better = Better::higher;
  double bar = 0;  // the ratio to reach: ours / ceiling (higher), or at most ours / ceiling (lower)
  std::vector<Summary> contenders;
  double ratio() const;
  bool passes() const;
};

Measurement measure(std::string name, std::string unit, Better better, double bar, int rounds,
                    std::vector<Contender> contenders);

// GB/s of `bytes` moved by `work`.
Round throughput(std::uint64_t bytes, const std::function<void()>& work);
// Median and p99 in microseconds of `count` calls of `one`.
Round latency(int count, const std::function<void(int)>& one);
// Calls per second of `count` calls of `one`.
Round rate(int count, const std::function<void(int)>& one);

std::string to_json(const std::vector<Measurement>& all);
std::string to_markdown(const std::vector<Measurement>& all);

}  // namespace hearth::bench
