#include "bench/measure.h"

#include <algorithm>
#include <cstdio>
#include <ctime>

namespace hearth::bench {

namespace {

using SteadyClock = std::chrono::steady_clock;

double seconds_since(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

Summary summarise(const std::string& name, std::vector<Round> rounds) {
  auto by_value = [](const Round& a, const Round& b) { return a.value < b.value; };
  std::sort(rounds.begin(), rounds.end(), by_value);
  Summary summary{.name = name};
  const std::size_t middle = rounds.size() / 2;
  summary.median = rounds[middle].value;
  summary.low = rounds.front().value;
  summary.high = rounds.back().value;
  std::vector<double> tails;
  for (const Round& round : rounds) tails.push_back(round.p99);
  std::sort(tails.begin(), tails.end());
  summary.p99 = tails[middle];
  return summary;
}

std::string number(double value) {
  char text[64];
  std::snprintf(text, sizeof text, value >= 1000 ? "%.0f" : "%.3g", value);
  return text;
}

}  // namespace

double Measurement::ratio() const {
  return contenders[1].median == 0 ? 0 : contenders[0].median / contenders[1].median;
}

bool Measurement::passes() const { return better == Better::higher ? ratio() >= bar : ratio() <= bar; }

Measurement measure(std::string name, std::string unit, Better better, double bar, int rounds,
                    std::vector<Contender> contenders) {
  std::vector<std::vector<Round>> results(contenders.size());
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      // Every other round runs backwards, so that nobody always follows the same neighbour.
      const std::size_t index = round % 2 == 0 ? i : contenders.size() - 1 - i;
      if (contenders[index].prepare) contenders[index].prepare();
      results[index].push_back(contenders[index].run());
    }
  }
  Measurement measurement{.name = std::move(name), .unit = std::move(unit), .better = better, .bar = bar};
  for (std::size_t i = 0; i < contenders.size(); ++i) {
    measurement.contenders.push_back(summarise(contenders[i].name, results[i]));
  }
  return measurement;
}

Round throughput(std::uint64_t bytes, const std::function<void()>& work) {
  const auto start = SteadyClock::now();
  work();
  return Round{.value = static_cast<double>(bytes) / seconds_since(start) / 1e9};
}

Round latency(int count, const std::function<void(int)>& one) {
  std::vector<double> samples;
  samples.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    const auto start = SteadyClock::now();
    one(i);
    samples.push_back(seconds_since(start) * 1e6);
  }
  std::sort(samples.begin(), samples.end());
  return Round{.value = samples[samples.size() / 2], .p99 = samples[samples.size() * 99 / 100]};
}

Round rate(int count, const std::function<void(int)>& one) {
  const auto start = SteadyClock::now();
  for (int i = 0; i < count; ++i) one(i);
  return Round{.value = count / seconds_since(start)};
}

std::string to_json(const std::vector<Measurement>& all) {
  std::string out = "[";
  for (const Measurement& m : all) {
    if (out.size() > 1) out += ",";
    out += "\n  {\"name\": \"" + m.name + "\", \"unit\": \"" + m.unit + "\", \"ratio\": " + number(m.ratio()) +
           ", \"bar\": " + number(m.bar) + ", \"better\": \"" + (m.better == Better::higher ? "higher" : "lower") +
           "\", \"pass\": " + (m.passes() ? "true" : "false") + ", \"contenders\": [";
    for (const Summary& s : m.contenders) {
      if (&s != &m.contenders.front()) out += ", ";
      out += "{\"name\": \"" + s.name + "\", \"median\": " + number(s.median) + ", \"low\": " + number(s.low) +
             ", \"high\": " + number(s.high) + ", \"p99\": " + number(s.p99) + "}";
    }
    out += "]}";
  }
  return out + "\n]\n";
}

std::string to_markdown(const std::vector<Measurement>& all) {
  std::string out = "| measurement | unit | Hearth median [low-high] | ceiling median [low-high] | ratio | bar | |\n";
  out += "|---|---|---|---|---|---|---|\n";
  for (const Measurement& m : all) {
    auto cell = [](const Summary& s) {
      std::string text = number(s.median) + " [" + number(s.low) + "-" + number(s.high) + "]";
      if (s.p99 > 0) text += " p99 " + number(s.p99);
      return text;
    };
    out += "| " + m.name + " | " + m.unit + " | " + cell(m.contenders[0]) + " | " + m.contenders[1].name + ": " +
           cell(m.contenders[1]) + " | " + number(m.ratio()) + " | " + (m.better == Better::higher ? ">= " : "<= ") +
           number(m.bar) + " | " + (m.passes() ? "reached" : "MISSED") + " |\n";
  }
  return out;
}

}  // namespace hearth::bench
