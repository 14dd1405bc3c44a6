// Whatever a file, the environment or a flag holds: parsers answer or refuse, and what they accept reads
// back as itself.
#include "common/config.h"

#include <cstdio>
#include <cstdlib>

namespace {

enum class Mode { one, two };

struct Target {
  std::string text;
  bool flag = false;
  std::uint16_t port = 1;
  hearth::ByteSize size = hearth::ByteSize{1 << 20};
  hearth::Duration time = std::chrono::seconds(1);
  Mode mode = Mode::one;
  std::vector<std::string> list;

  template <class V>
  void describe(V& v) {
    v.field("text", text, {.help = "t"});
    v.field("flag", flag, {.help = "f", .flag = "--flag"});
    v.field("port", port, {.help = "p", .min = 1});
    v.field("size", size, {.help = "s", .max = hearth::ByteSize{1ULL << 40}});
    v.field("time", time, {.help = "d"});
    v.choice("mode", mode, {{"one", Mode::one}, {"two", Mode::two}}, {.help = "m"});
    v.field("list", list, {.help = "l"});
  }
};

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz_config: %s\n", what);
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  const auto bytes = hearth::parse_size(input);
  if (bytes) require(hearth::parse_size(hearth::exact_size(*bytes)).value() == *bytes, "a size does not read back");
  const auto time = hearth::parse_duration(input);
  if (time) require(hearth::parse_duration(hearth::exact_duration(*time)).value() == *time, "a duration does not read back");

  Target target;
  hearth::Config config;
  config.bind("s", target);
  const bool loaded = config.load_toml(input, "fuzz").has_value();
  (void)config.set(input);
  (void)config.set("s.list=" + input);
  (void)config.load_environment({"HEARTH_" + input, "HEARTH_S__TIME=" + input});
  (void)config.load_flags({input, "--flag", "--set", "s.port=" + input});
  require(target.port >= 1 && target.size.bytes <= 1ULL << 40, "a value left its range");
  if (loaded) {
    std::string again = "[s]\n";
    for (const auto& field : config.fields()) again += field.key.substr(2) + " = " + field.get() + "\n";
    // Only bytes that are UTF-8 can stand in TOML; the environment may hold others.
    Target same;
    hearth::Config second;
    second.bind("s", same);
    if (second.load_toml(again, "again")) require(same.list == target.list && same.text == target.text, "a string does not read back");
  }
  return 0;
}
