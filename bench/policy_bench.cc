// Decisions per second of a policy with 50 rules, and what one costs.
#include "tiering/policy/policy.h"

#include <cstdint>
#include <cstdio>
#include <ctime>
#include <string>
#include <vector>

namespace {

using namespace hearth::policy;

// 49 rules that look like those of a shared cluster, none of which decides everything, and one for the rest.
std::string policy_text() {
  std::string text;
  for (int i = 0; i < 49; ++i) {
    const std::string n = std::to_string(i);
    text += "[[rule]]\nname = \"r" + n + "\"\n";
    switch (i % 5) {
      case 0: text += "path = \"/teams/team-" + n + "/**\"\nreplicas = 2\n"; break;
      case 1: text += "path = \"/lake/*/year=20[12][0-9]/**/part-" + n + "*.parquet\"\ntier = \"nvme\"\n"; break;
      case 2: text += "suffix = [\".idx" + n + "\", \".meta" + n + "\"]\npin = { tier = \"memory\" }\n"; break;
      case 3: text += "path = \"**/{train,test}-" + n + "/*.bin\"\nmin_size = \"1MiB\"\nprefetch = \"whole-file\"\n"; break;
      default: text += "owner = [\"" + std::to_string(1000 + i) + "\"]\npath = \"/home/**\"\nttl = \"1d\"\n"; break;
    }
  }
  return text + "[[rule]]\nname = \"all\"\nadmission = \"second-read\"\n";
}

}  // namespace

int main() {
  const auto policy = parse_policy(policy_text(), "bench");
  if (!policy) {
    std::fprintf(stderr, "%s\n", policy.error().message().c_str());
    return 1;
  }
  const std::vector<std::string> paths{
      "/teams/team-35/models/a/weights.bin", "/lake/orders/year=2024/month=07/day=01/part-00041-1b2c.snappy.parquet",
      "/home/alice/notes.txt", "/data/images/train-33/000123.bin", "/scratch/job-17/tmp/spill.0001"};
  constexpr std::uint64_t rounds = 400'000;
  std::uint64_t sum = 0;
  const std::clock_t began = std::clock();  // of this process: what others do at the same time is not its cost
  for (std::uint64_t i = 0; i < rounds; ++i) {
    const Decision decision = policy->decide({.path = paths[i % paths.size()], .length_bytes = 4096 * i, .uid = 1000});
    sum += decision.values.replicas + decision.first_rule;
  }
  const double ns = 1e9 * static_cast<double>(std::clock() - began) / CLOCKS_PER_SEC / static_cast<double>(rounds);
  std::printf("decide, 50 rules: %.0f ns each, %.2f M/s (checksum %llu)\n", ns, 1e3 / ns, static_cast<unsigned long long>(sum));
  return 0;
}
