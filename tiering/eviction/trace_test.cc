#include "tiering/eviction/trace.h"

#include "tiering/eviction/trace_recorder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <sstream>

namespace hearth {
namespace {

using namespace std::chrono_literals;

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    text += "0123456789abcdef"[static_cast<std::uint8_t>(c) >> 4];
    text += "0123456789abcdef"[static_cast<std::uint8_t>(c) & 15];
  }
  return text;
}

Result<TraceReader> reader_of(std::string bytes, TraceFormat format = TraceFormat::detect) {
  return TraceReader::read(std::make_unique<std::istringstream>(std::move(bytes)), "t", format);
}

struct Read {
  std::vector<TraceRecord> records;
  std::vector<TraceFile> files;      // of each record
  std::vector<std::string> tenants;  // of each record
  Status status;
  TraceInfo info;
};
Read read_all(std::string bytes, TraceFormat format = TraceFormat::detect) {
  Read all;
  auto reader = reader_of(std::move(bytes), format);
  if (!reader) {
    all.status = reader.error();
    return all;
  }
  all.info = reader->info();
  for (;;) {
    auto record = reader->next();
    if (!record) {
      all.status = record.error();
      return all;
    }
    if (!*record) break;
    const TraceFile* const file = reader->file_of(**record);
    all.files.push_back(file == nullptr ? TraceFile() : *file);
    all.tenants.emplace_back(reader->tenant_of(**record));
    all.records.push_back(**record);
  }
  all.status = ok();
  return all;
}

TraceRecord sample_record() {
  return TraceRecord{.time = 1500ms, .block = 0x0123456789ABCDEF, .page = 7, .bytes = 1 << 20, .rule = 3, .served_by = 2, .tenant = 2, .file = 1};
}

// Changed bytes mean a new format: bump trace_version and the golden bytes in docs/formats/trace.md.
TEST(Trace, KeepsItsGoldenBytes) {
  const std::vector<TraceFile> files{{"/a", 10, 4096}, {"/b.parquet", 0x123456789A, 1 << 20, 1001}};
  const std::vector<std::string> tenants{"ml", "bi"};
  const TraceInfo info{.format = TraceFormat::hearth, .started_at = 1'700'000'000s, .sampling_rate = 0.25,
                       .paths = TraceInfo::Paths::plain, .overwritten = 5};
  const std::vector<TraceRecord> records{sample_record()};
  const std::string trace = encode_trace(info, records, files, tenants);
  EXPECT_EQ(hex(trace.substr(0, trace_header_bytes)),
            "6865617274687472" "02000000" "01000000" "00002a36fe9c9717" "0000004000000000" "0100000000000000"
            "0500000000000000" "02000000" "3700000000000000" "40a0019f");
  EXPECT_EQ(hex(trace.substr(trace_header_bytes, 48)), "0200" "00100000" "0a00000000000000" "ffffffff" "2f61"
            "0a00" "00001000" "9a78563412000000" "e9030000" "2f622e70617271756574");
  EXPECT_EQ(hex(trace.substr(trace_header_bytes + 48, 7)), "02" "02" "6d6c" "02" "6269");
  EXPECT_EQ(hex(trace.substr(trace_header_bytes + 55)),
            "002f685900000000" "efcdab8967452301" "07000000" "00001000" "01000000" "0300" "02" "02");
  const Read read = read_all(trace);
  ASSERT_TRUE(read.status) << read.status.error().message();
  EXPECT_EQ(read.records, records);
  EXPECT_EQ(read.files, std::vector<TraceFile>{files[1]});
  EXPECT_EQ(read.tenants, std::vector<std::string>{"bi"});
  EXPECT_EQ(read.info.sampling_rate, 0.25);
  EXPECT_EQ(read.info.started_at, 1'700'000'000s);
  EXPECT_EQ(read.info.overwritten, 5U);
}

std::string unhex(std::string_view digits) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

// The golden bytes of version 1: it told neither owners nor tenants.
TEST(Trace, ReadsTheVersionBefore) {
  const std::string trace = unhex(
      "6865617274687472" "01000000" "01000000" "00002a36fe9c9717" "0000004000000000" "0100000000000000"
      "0500000000000000" "02000000" "2800000000000000" "25c34a4a"
      "0200" "00100000" "0a00000000000000" "2f61" "0a00" "00001000" "9a78563412000000" "2f622e70617271756574"
      "002f685900000000" "efcdab8967452301" "07000000" "00001000" "01000000" "0300" "02" "00");
  const Read read = read_all(trace);
  ASSERT_TRUE(read.status) << read.status.error().message();
  TraceRecord expected = sample_record();
  expected.tenant = 0;
  EXPECT_EQ(read.records, std::vector<TraceRecord>{expected});
  EXPECT_EQ(read.files, (std::vector<TraceFile>{{"/b.parquet", 0x123456789A, 1 << 20, TraceFile::unknown_uid}}));
  EXPECT_EQ(read.tenants, std::vector<std::string>{""});
  std::string with_tenant = trace;
  with_tenant.back() = 1;
  EXPECT_EQ(read_all(with_tenant).status.code(), Code::corrupt);
}

TEST(Trace, RefusesDamageAndNewerVersionsWithAReason) {
  const std::vector<std::string> tenants{"ml"};
  std::string trace = encode_trace({.sampling_rate = 1}, std::vector<TraceRecord>{TraceRecord{.bytes = 1, .tenant = 1}}, {}, tenants);
  for (const char version : {'\0', '\3'}) {
    std::string other = trace;
    other[8] = version;
    EXPECT_EQ(read_all(other).status.code(), Code::version_mismatch);
    EXPECT_EQ(read_all(other).status.error().message(),
              "trace t has version " + std::to_string(int{version}) + "; this program reads versions 1 to 2");
  }
  for (const std::size_t at : {trace_header_bytes, trace_header_bytes + 1, trace.size() - 1}) {  // tenants, a name's length, whose read
    std::string damaged = trace;
    damaged[at] = static_cast<char>(damaged[at] + 1);
    EXPECT_EQ(read_all(damaged).status.code(), Code::corrupt) << at;
  }
  for (std::size_t at = 12; at < trace_header_bytes; ++at) {
    std::string damaged = trace;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    EXPECT_EQ(read_all(damaged).status.code(), Code::corrupt) << at;
  }
  for (std::size_t length = trace.size() - 1; length > 8; --length) {
    EXPECT_EQ(read_all(trace.substr(0, length), TraceFormat::hearth).status.code(), Code::corrupt) << length;
  }
  EXPECT_EQ(read_all(trace + "x").status.code(), Code::corrupt);
  EXPECT_EQ(reader_of("", TraceFormat::hearth).code(), Code::corrupt);
}

TEST(Trace, ReadsOracleGeneral) {
  std::string bytes;
  const auto put = [&](std::uint64_t number, int length) {
    for (int i = 0; i < length; ++i) bytes += static_cast<char>(number >> (8 * i));
  };
  put(5, 4), put(0xFFFF'FFFF'0000'0001, 8), put(4096, 4), put(17, 8);
  put(6, 4), put(2, 8), put(512, 4), put(~0ULL, 8);
  const Read read = read_all(bytes);
  ASSERT_TRUE(read.status);
  EXPECT_EQ(read.info.format, TraceFormat::oracle_general);
  const std::vector<TraceRecord> expected{{.time = 5s, .block = 0xFFFF'FFFF'0000'0001, .bytes = 4096}, {.time = 6s, .block = 2, .bytes = 512}};
  EXPECT_EQ(read.records, expected);
  const Read cut = read_all(bytes.substr(0, 40), TraceFormat::oracle_general);
  EXPECT_EQ(cut.records.size(), 1U);
  EXPECT_EQ(cut.status.error().message(), "trace t: ends inside record 1 (16 of 24 bytes)");
}

TEST(Trace, ReadsCommaSeparatedLines) {
  const Read read = read_all("time,id,size\r\n0,17,4096\r\n\n# pause\n1.5, 18 ,512\n2,/a/b,1\n2,/a/b,1");
  ASSERT_TRUE(read.status) << read.status.error().message();
  EXPECT_EQ(read.info.format, TraceFormat::csv);
  ASSERT_EQ(read.records.size(), 4U);
  EXPECT_EQ(read.records[0], (TraceRecord{.time = 0s, .block = 17, .bytes = 4096}));
  EXPECT_EQ(read.records[1], (TraceRecord{.time = 1500ms, .block = 18, .bytes = 512}));
  EXPECT_EQ(read.records[2].block, read.records[3].block);
  EXPECT_EQ(read_all("1,2").status.error().message(), "trace t: line 1: fewer than three columns; expected time,id,size");
  EXPECT_EQ(read_all("1,2,3\nx,2,3").status.error().message(), "trace t: line 2: \"x\" is no time in seconds; expected time,id,size");
  EXPECT_EQ(read_all("1,2,-3").status.code(), Code::corrupt);
  EXPECT_EQ(read_all("1,2,3,4").status.code(), Code::corrupt);
  EXPECT_EQ(read_all("1,,3").status.code(), Code::corrupt);
  EXPECT_EQ(read_all("nan,1,3").status.code(), Code::corrupt);
}

TEST(Trace, NamesAFileThatIsNotThere) {
  EXPECT_EQ(TraceReader::open("/no/such/trace").code(), Code::not_found);
  EXPECT_EQ(parse_trace_format("zip").code(), Code::invalid_argument);
}

TEST(TraceRecorder, KeepsTheNewestWithinItsMemory) {
  auto recorder = TraceRecorder::make({.max_bytes = 64 << 10}).value();
  constexpr std::uint64_t accesses = 10'000;
  for (std::uint64_t i = 0; i < accesses; ++i) {
    recorder.record({.time = std::chrono::nanoseconds(i), .block = i, .page = 1, .bytes = 4096, .rule = 9, .served_by = 1}, {"/private"});
  }
  EXPECT_EQ(recorder.records(), 2048U);
  EXPECT_EQ(recorder.overwritten(), accesses - 2048);
  EXPECT_LE(recorder.memory_bytes(), 64U << 10);
  const Read read = read_all(recorder.encode());
  ASSERT_TRUE(read.status);
  ASSERT_EQ(read.records.size(), 2048U);
  EXPECT_EQ(read.info.overwritten, accesses - 2048);
  for (std::uint64_t i = 0; i < 2048; ++i) {
    ASSERT_EQ(read.records[i], (TraceRecord{.time = std::chrono::nanoseconds(accesses - 2048 + i), .block = accesses - 2048 + i, .page = 1,
                                            .bytes = 4096, .rule = 9, .served_by = 1}));
  }
}

TEST(TraceRecorder, SamplesPagesAndThenAllTheirAccesses) {
  auto recorder = TraceRecorder::make({.max_bytes = 16 << 20, .sampling_rate = 0.1}).value();
  for (int round = 0; round < 3; ++round) {
    for (std::uint64_t block = 0; block < 1000; ++block) {
      for (std::uint32_t page = 0; page < 20; ++page) recorder.record({.block = block, .page = page, .bytes = 1}, {});
    }
  }
  EXPECT_NEAR(static_cast<double>(recorder.records()), 6000, 300);
  std::map<std::uint64_t, int> times;
  const Read read = read_all(recorder.encode());
  for (const TraceRecord& record : read.records) ++times[record.key()];
  for (const auto& [key, count] : times) ASSERT_EQ(count, 3);
  EXPECT_NEAR(read.info.sampling_rate, 0.1, 1e-9);
}

TEST(TraceRecorder, HashedPathsSayNothingOfNamesAndKeepDepthAndSuffix) {
  const eviction::SipKey key{1, 2};
  const TraceOptions options{.max_bytes = 1 << 20, .paths = TraceInfo::Paths::hashed, .key = key};
  auto recorder = TraceRecorder::make(options).value();
  recorder.record({.block = 77, .bytes = 1}, {.path = "/secret/project/plan.parquet", .length_bytes = 5, .tenant = "project"});
  recorder.record({.block = 78, .bytes = 1}, {.path = "/secret/other"});
  const std::string trace = recorder.encode();
  for (const std::string_view word : {"secret", "project", "plan", "other"}) EXPECT_EQ(trace.find(word), std::string::npos);
  const Read read = read_all(trace);
  ASSERT_EQ(read.files.size(), 2U);
  EXPECT_NE(read.records[0].block, 77U);
  EXPECT_EQ(read.files[0].length_bytes, 5U);
  EXPECT_EQ(read.tenants, (std::vector<std::string>{hash_path(key, "project"), ""}));
  EXPECT_TRUE(read.files[0].path.ends_with(".parquet"));
  EXPECT_EQ(std::count(read.files[0].path.begin(), read.files[0].path.end(), '/'), 3);
  EXPECT_EQ(read.files[0].path.substr(0, 17), read.files[1].path.substr(0, 17)) << "one directory, one name";
  EXPECT_NE(hash_path({1, 3}, "/secret/other"), read.files[1].path);
}

TEST(TraceRecorder, KeepsOwnersAndTheTenantOfEachRead) {
  auto recorder = TraceRecorder::make({.max_bytes = 1 << 20, .paths = TraceInfo::Paths::plain}).value();
  const TraceRecorder::File file{.path = "/a", .length_bytes = 1, .uid = 1001, .tenant = "ml"};
  TraceRecorder::File other = file;
  other.tenant = "bi";
  TraceRecorder::File nobody = file;
  nobody.tenant = "";
  for (const TraceRecorder::File& one : {file, other, file, nobody}) recorder.record({.block = 1, .bytes = 1}, one);
  const Read read = read_all(recorder.encode());
  EXPECT_EQ(read.tenants, (std::vector<std::string>{"ml", "bi", "ml", ""}));
  for (const TraceFile& one : read.files) EXPECT_EQ(one.uid, 1001U);

  auto nameless = TraceRecorder::make({.max_bytes = 1 << 20}).value();
  nameless.record({.block = 1, .bytes = 1}, file);
  EXPECT_EQ(nameless.encode().find("ml"), std::string::npos) << "no names were asked for";
  EXPECT_EQ(read_all(nameless.encode()).tenants, std::vector<std::string>{""});
}

TEST(TraceRecorder, MoreTenantsThanItsTableHoldsAreNone) {
  auto recorder = TraceRecorder::make({.max_bytes = 1 << 20, .paths = TraceInfo::Paths::plain}).value();
  std::vector<std::string> names;
  for (std::size_t i = 0; i <= max_trace_tenants; ++i) names.push_back("t" + std::to_string(i));
  for (const std::string& name : names) recorder.record({.block = 1, .bytes = 1}, {.path = "/a", .tenant = name});
  const Read read = read_all(recorder.encode());
  names.back().clear();
  EXPECT_EQ(read.tenants, names);
}

TEST(TraceRecorder, ItsPathTableIsBoundedToo) {
  auto recorder = TraceRecorder::make({.max_bytes = 64 << 10, .paths = TraceInfo::Paths::plain}).value();
  std::vector<std::string> names;
  for (std::uint64_t i = 0; i < 1000; ++i) names.push_back("/file-" + std::to_string(i));
  for (std::uint64_t i = 0; i < 1000; ++i) recorder.record({.block = i, .bytes = 1}, {.path = names[i]});
  EXPECT_LE(recorder.memory_bytes(), 64U << 10);
  const Read read = read_all(recorder.encode());
  EXPECT_EQ(read.files[0].path, "/file-0");
  EXPECT_EQ(read.files[999].path, "");
}

TEST(TraceRecorder, RefusesWhatCanNotWork) {
  EXPECT_EQ(TraceRecorder::make({.sampling_rate = 0}).code(), Code::invalid_argument);
  EXPECT_EQ(TraceRecorder::make({.sampling_rate = 1.5}).code(), Code::invalid_argument);
  EXPECT_EQ(TraceRecorder::make({.sampling_rate = std::nan("")}).code(), Code::invalid_argument);
  EXPECT_EQ(TraceRecorder::make({.max_bytes = 100}).code(), Code::invalid_argument);
}

// Test vector of the paper's appendix A: key 00..0f, input 00..0e.
TEST(SipHash, GivesThePublishedAnswer) {
  std::string input;
  for (char c = 0; c < 15; ++c) input += c;
  EXPECT_EQ(eviction::sip_hash({0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL}, input), 0xa129ca6149be45e5ULL);
}

}  // namespace
}  // namespace hearth
