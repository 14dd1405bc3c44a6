// The strict S3 double (understore/s3/s3_double.h) as a process, for s3.py: what no server on a file system can hold or do.
//
//   hearth-s3-double [CLOCK_OFFSET_SECONDS]
//
// Prints its origin, then carries out one command per line of standard input and says "ok" behind each:
// "deny PREFIX", "refuse STATUS CODE", "delay OPERATION MS", "forgive", "fill PREFIX COUNT" (objects PREFIXdd/nnnnnn in ten
// directories, each with its key as content). Ends with its input.
#include "understore/s3/s3_double.h"

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>

namespace {

class OffsetClock final : public hearth::Clock {
 public:
  explicit OffsetClock(std::chrono::seconds offset) : offset_(offset) {}
  hearth::TimePoint now() const override { return hearth::real_clock().now(); }
  hearth::WallTime wall_now() const override { return hearth::real_clock().wall_now() + offset_; }
  hearth::Task<> sleep_until(hearth::TimePoint when) override { return hearth::real_clock().sleep_until(when); }

 private:
  std::chrono::seconds offset_;
};

}  // namespace

int main(int argc, char** argv) {
  using namespace hearth::s3;
  OffsetClock clock(std::chrono::seconds(argc > 1 ? std::atol(argv[1]) : 0));
  DoubleOptions options;
  options.clock = &clock;
  S3Double server(options);
  std::cout << server.origin() << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string command;
    words >> command;
    if (command == "deny") {
      std::string prefix;
      words >> prefix;
      server.deny(prefix);
    } else if (command == "refuse") {
      DoubleFault fault{.kind = DoubleFault::Kind::refuse};
      words >> fault.status >> fault.text;
      server.always("", fault);
    } else if (command == "delay") {
      std::string operation;
      int milliseconds = 0;
      words >> operation >> milliseconds;
      server.always(operation, {.kind = DoubleFault::Kind::delay, .delay = std::chrono::milliseconds(milliseconds)});
    } else if (command == "fill") {
      std::string prefix;
      int count = 0;
      words >> prefix >> count;
      for (int i = 0; i < count; ++i) {
        char name[32];
        std::snprintf(name, sizeof name, "%02d/%06d", i % 10, i);
        server.put(prefix + name, prefix + name);
      }
    } else if (command == "forgive") {
      server.forgive();
    } else {
      std::cout << "unknown command " << command << std::endl;
      return 1;
    }
    std::cout << "ok" << std::endl;
  }
  return 0;
}
