// The examples, run against a real master and a real worker.
#include "tests/support/in_process_cluster.h"

#include <gtest/gtest.h>

#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

namespace hearth::testing {
namespace {

struct Ran {
  int exit_code = -1;
  std::string output;
};

class Examples : public ::testing::Test {
 protected:
  Examples() : cluster_(InProcessClusterOptions{.workers = 1}) {
    EXPECT_TRUE(cluster_.start());
    EXPECT_TRUE(cluster_.attach("/data"));
    master_ = cluster_.client_options().master;
  }
  static Ran run(const std::string& command) {
    Ran ran;
    std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
    if (pipe == nullptr) return ran;
    char piece[4096];
    for (std::size_t count = 0; (count = std::fread(piece, 1, sizeof piece, pipe)) > 0;) ran.output.append(piece, count);
    const int status = ::pclose(pipe);
    ran.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return ran;
  }
  std::string example(const std::string& name, const std::string& arguments) const {
    return std::string(HEARTH_EXAMPLES) + "/hearth_example_" + name + " " + master_ + " " + arguments;
  }

  InProcessCluster cluster_;
  std::string master_;
};

TEST_F(Examples, TheShuffleLoaderReadsEverySampleTwice) {
  std::uint64_t total = 0;
  for (std::uint64_t i = 0; i < 1500; ++i) {
    cluster_.write_file("train/c" + std::to_string(i % 7) + "/s" + std::to_string(i), 100 + i);
    total += 100 + i;
  }
  const Ran ran = run(example("shuffle_loader", "/data/train 100000 128"));
  EXPECT_EQ(ran.exit_code, 0) << ran.output;
  const std::string expected = ": 1500 samples, " + std::to_string(total) + " bytes";
  EXPECT_NE(ran.output.find("epoch 1" + expected), std::string::npos) << ran.output;
  EXPECT_NE(ran.output.find("epoch 2" + expected), std::string::npos) << ran.output;
  EXPECT_NE(run(example("shuffle_loader", "/data/absent")).exit_code, 0);
  EXPECT_NE(run(example("shuffle_loader", "/data/train 10 4")).output.find(": 10 samples"), std::string::npos);
}

TEST_F(Examples, TheFooterReaderFindsShortAndLongFooters) {
  for (const std::uint32_t footer : {100U, 200'000U}) {
    const std::string name = "f" + std::to_string(footer) + ".parquet";
    std::ofstream out(cluster_.store_directory() / name, std::ios::binary);
    out << "PAR1" << std::string(500'000, 'c') << std::string(footer, 'f');
    for (int i = 0; i < 4; ++i) out << static_cast<char>(footer >> (8 * i));
    out << "PAR1";
    out.close();
    const Ran ran = run(example("footer_ranges", "/data/" + name + " 4+1000 300000+70000 499000+9999999"));
    EXPECT_EQ(ran.exit_code, 0) << ran.output;
    EXPECT_NE(ran.output.find("footer: " + std::to_string(footer) + " bytes"), std::string::npos) << ran.output;
    EXPECT_NE(ran.output.find("range 4+1000: 1000 bytes"), std::string::npos) << ran.output;
    EXPECT_NE(ran.output.find("range 300000+70000: 70000 bytes"), std::string::npos) << ran.output;
    EXPECT_NE(ran.output.find("range 499000+9999999: " + std::to_string(1004 + footer + 8) + " bytes"), std::string::npos) << ran.output;
  }
  cluster_.write_file("plain", 1000);
  EXPECT_NE(run(example("footer_ranges", "/data/plain")).exit_code, 0);
}

TEST_F(Examples, BothFileReadersReadAWholeFile) {
  cluster_.write_file("a", 3'000'000);
  for (const char* name : {"read_file", "read_file_c"}) {
    const Ran ran = run(example(name, "/data/a"));
    EXPECT_EQ(ran.exit_code, 0) << ran.output;
    EXPECT_NE(ran.output.find("3000000 bytes"), std::string::npos) << ran.output;
    EXPECT_NE(run(example(name, "/data/absent")).exit_code, 0);
  }
}

TEST_F(Examples, TheFileWriterWritesAndReadsBack) {
  for (const std::string input : {"head -c 3000001 /dev/zero | tr '\\0' x", "true"}) {
    const Ran ran = run(input + " | " + example("write_file_c", "/data/written"));
    EXPECT_EQ(ran.exit_code, 0) << ran.output;
    EXPECT_NE(ran.output.find(input == "true" ? ": 0 bytes" : ": 3000001 bytes"), std::string::npos) << ran.output;
    EXPECT_NE(ran.output.find("as written"), std::string::npos) << ran.output;
  }
  EXPECT_TRUE(std::filesystem::exists(cluster_.store_directory() / "written"));
  EXPECT_FALSE(std::filesystem::exists(cluster_.store_directory() / "written.part"));
  EXPECT_EQ(run(example("write_file_c", "/data/absent/file") + " </dev/null").exit_code, 2);
  EXPECT_EQ(run(example("write_file_c", "/elsewhere") + " </dev/null").exit_code, 2);
}

}  // namespace
}  // namespace hearth::testing
