// Lazy loading, freshness, absence and staleness, in virtual time against scripted stores.
#include "master/rocksdb_meta_store.h"
#include "master/testing/names_harness.h"
#include "master/testing/temporary_directory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

namespace hearth::master {
namespace {

using namespace std::chrono_literals;
using ServeStale = AttachmentSettings::ServeStale;
using Source = FileView::Source;
const std::string uri = "sim://s";

AttachmentSettings settings(Duration ttl, ServeStale serve_stale = ServeStale::always) {
  AttachmentSettings out;
  out.metadata_ttl = ttl;
  out.serve_stale = serve_stale;
  return out;
}

TEST(Freshness, AnswersWithinTheTtlWithoutAskingAndAsksAfterwards) {
  NamesHarness names;
  SimStore& store = names.store(uri);
  store.put_file("f", 10);
  ASSERT_TRUE(names.attach("/d", uri, settings(1s)));
  const Result<FileView> first = names.stat("/d/f");
  ASSERT_TRUE(first) << first.error().to_string();
  const std::uint64_t asked = store.calls(SimOp::stat);
  store.replace_file("f");
  names.advance(900ms);
  const Result<FileView> cached = names.stat("/d/f");
  EXPECT_EQ(cached->inode.version, first->inode.version);
  EXPECT_LE(cached->ttl, 101ms);
  EXPECT_EQ(store.calls(SimOp::stat), asked);
  const Result<FileView> forced = names.stat("/d/f", Freshness::revalidate);
  EXPECT_NE(forced->inode.version, first->inode.version);
  EXPECT_EQ(store.calls(SimOp::stat), asked + 1);
  store.replace_file("f");
  names.advance(1100ms);
  EXPECT_NE(names.stat("/d/f")->inode.version, forced->inode.version);
}

TEST(Freshness, ATtlOfZeroAlwaysAsks) {
  NamesHarness names;
  SimStore& store = names.store(uri);
  store.put_file("f", 10);
  ASSERT_TRUE(names.attach("/", uri, settings(0s)));
  for (int i = 0; i < 3; ++i) {
    const std::uint64_t asked = store.calls(SimOp::stat);
    ASSERT_TRUE(names.stat("/f"));
    EXPECT_EQ(store.calls(SimOp::stat), asked + 1);
  }
  EXPECT_EQ(names.stat("/f")->ttl, Duration::zero());
}

TEST(Freshness, ConcurrentQuestionsAboutOnePathAreOneQuestion) {
  NamesHarness names;
  SimStore& store = names.store(uri);
  store.put_file("f", 10);
  ASSERT_TRUE(names.attach("/", uri, settings(1s)));
  store.at_next_call(SimOp::stat, {.kind = SimFault::Kind::delay, .delay = 500ms});
  const std::uint64_t asked = store.calls(SimOp::stat);
  std::vector<NamesHarness::Pending<FileView>> waiting;
  for (int i = 0; i < 50; ++i) {
    waiting.push_back(names.start(names.service().stat(NamesHarness::parse("/f"), Freshness::cached, names.soon())));
  }
  names.settle();
  EXPECT_FALSE(waiting[0].done());
  names.advance(600ms);
  for (const auto& one : waiting) EXPECT_TRUE(names.finish(one));
  EXPECT_EQ(store.calls(SimOp::stat), asked + 1);
}

// A question that was put before this request began may carry an older answer.
TEST(Freshness, ARequestThatMustAskDoesNotJoinAnOlderQuestion) {
  NamesHarness names;
  SimStore& store = names.store(uri);
  store.put_file("f", 10);
  ASSERT_TRUE(names.attach("/", uri, settings(0s)));
  store.at_next_call(SimOp::stat, {.kind = SimFault::Kind::delay, .delay = 500ms});
  const std::uint64_t asked = store.calls(SimOp::stat);
  const auto first = names.start(names.service().stat(NamesHarness::parse("/f"), Freshness::cached, names.soon()));
  names.settle();
  const auto second = names.start(names.service().stat(NamesHarness::parse("/f"), Freshness::cached, names.soon()));
  names.advance(600ms);
  EXPECT_TRUE(names.finish(first));
  EXPECT_TRUE(names.finish(second));
  EXPECT_EQ(store.calls(SimOp::stat), asked + 2);
}

TEST(Absence, IsRememberedForTheTtlOnly) {
  NamesHarness names;
  SimStore& store = names.store(uri);
  ASSERT_TRUE(names.attach("/", uri, settings(1s)));
  EXPECT_EQ(names.stat("/f").code(), Code::not_found);
  const std::uint64_t asked = store.calls(SimOp::stat);
  EXPECT_EQ(names.stat("/f").code(), Code::not_found);
  EXPECT_EQ(store.calls(SimOp::stat), asked);
  store.put_file("f", 1);
  names.advance(1100ms);
  EXPECT_TRUE(names.stat("/f"));
}

TEST(Absence, OfAPathBelowAFileOrALinkIsNotDirectory) {
  NamesHarness names;
  SimStore& store = names.store(uri);
  store.put_file("f", 1);
  store.put_directory("d");
  store.put_symlink("l", "d");
  ASSERT_TRUE(names.attach("/", uri, settings(1s)));
  EXPECT_EQ(names.stat("/f/x").code(), Code::not_directory);
  EXPECT_EQ(names.stat("/l/x").code(), Code::not_directory);
  EXPECT_EQ(names.stat("/l")->inode.type, FileType::symlink);
  EXPECT_EQ(names.stat("/l")->inode.symlink_target, "d");
  EXPECT_EQ(names.stat("/d/x/y").code(), Code::not_found);
}

TEST(Unreachable, IsNeverTakenForDeletedWhateverThePolicy) {
  for (const ServeStale policy : {ServeStale::always, ServeStale::until_ttl, ServeStale::never}) {
    NamesHarness names;
    SimStore& store = names.store(uri);
    store.put_file("f", 10);
    ASSERT_TRUE(names.attach("/d", uri, settings(1s, policy)));
    ASSERT_TRUE(names.stat("/d/f"));
    ASSERT_EQ(names.names("/d"), std::vector<std::string>{"f"});
    store.set_reachable(SimReachable::no);
    EXPECT_EQ(names.stat("/d/other", Freshness::revalidate).code(), Code::unavailable);
    const Result<FileView> within = names.stat("/d/f");
    EXPECT_EQ(within.has_value(), policy != ServeStale::never);
    names.advance(10s);
    const Result<FileView> later = names.stat("/d/f");
    EXPECT_EQ(later.has_value(), policy == ServeStale::always);
    if (later) {
      EXPECT_EQ(later->source, Source::stale);
      EXPECT_EQ(names.names("/d"), std::vector<std::string>{"f"});
    } else {
      EXPECT_EQ(later.code(), Code::unavailable);
      EXPECT_EQ(names.list("/d").code(), Code::unavailable);
    }
    store.set_reachable(SimReachable::yes);
    names.advance(10s);
    const Result<FileView> back = names.stat("/d/f");
    ASSERT_TRUE(back) << back.error().to_string();
    EXPECT_EQ(back->source, Source::current);
  }
}

TEST(Unreachable, OneUnreadableFileDoesNotMakeTheOthersStale) {
  NamesHarness names;
  SimStore& store = names.store(uri);
  store.put_file("bad", 10);
  store.put_file("good", 10);
  ASSERT_TRUE(names.attach("/", uri, settings(1s)));
  ASSERT_EQ(names.names("/").size(), 2u);
  const std::string before = names.stat("/good")->inode.version;
  store.replace_file("good");
  names.advance(2s);
  store.at_next_call(SimOp::stat, {.kind = SimFault::Kind::fail, .code = Code::io_error});
  const Result<FileView> bad = names.stat("/bad");
  ASSERT_TRUE(bad) << bad.error().to_string();
  EXPECT_EQ(bad->source, Source::stale);
  const Result<FileView> good = names.stat("/good");
  ASSERT_TRUE(good);
  EXPECT_EQ(good->source, Source::current);
  EXPECT_NE(good->inode.version, before);
}

TEST(Unreachable, StoresAreServedFromTheLastKnownStateAfterARestartOfTheMaster) {
  NamesHarness names;
  SimStore& store = names.store(uri);
  store.put_file("f", 10);
  ASSERT_TRUE(names.attach("/d", uri, settings(1s)));
  const Result<FileView> before = names.stat("/d/f");
  ASSERT_TRUE(before);
  store.set_reachable(SimReachable::no);
  names.reopen();
  const Result<FileView> after = names.stat("/d/f");
  ASSERT_TRUE(after) << after.error().to_string();
  EXPECT_EQ(after->inode.id, before->inode.id);
  EXPECT_EQ(after->source, Source::stale);
}

TEST(Unreachable, AHungStoreCostsAReaderBoundedTime) {
  NamesHarness names;
  SimStore& store = names.store(uri);
  store.put_file("f", 10);
  ASSERT_TRUE(names.attach("/d", uri, settings(1s)));
  ASSERT_TRUE(names.stat("/d/f"));
  names.advance(2s);
  for (std::uint64_t call = 0; call < 10; ++call) {
    store.at_call(SimOp::stat, store.calls(SimOp::stat) + call, {.kind = SimFault::Kind::hang});
  }
  const auto known = names.start(names.service().stat(NamesHarness::parse("/d/f"), Freshness::cached, names.soon()));
  const Deadline five = Deadline::after(names.clock, 5s);
  const auto unknown = names.start(names.service().stat(NamesHarness::parse("/d/g"), Freshness::cached, five));
  names.settle();
  EXPECT_FALSE(known.done());
  names.advance(2s);
  ASSERT_TRUE(known.done()) << "older metadata is served after stale_after";
  EXPECT_EQ(names.finish(known)->source, Source::stale);
  EXPECT_FALSE(unknown.done());
  names.advance(3s);
  ASSERT_TRUE(unknown.done());
  EXPECT_EQ(names.finish(unknown).code(), Code::deadline_exceeded);
  names.advance(10s);  // the questions themselves end at the store deadline
}

TEST(Listing, ConcurrentListsOfADirectoryAreOneLoadAndAreFreshForTheTtl) {
  NamesHarness names;
  SimStore& store = names.store(uri);
  for (int i = 0; i < 30; ++i) store.put_file("f" + std::to_string(i), 1);
  ASSERT_TRUE(names.attach("/", uri, settings(1s)));
  const std::uint64_t lists = store.calls(SimOp::list);
  std::vector<NamesHarness::Pending<ListView>> waiting;
  for (int i = 0; i < 10; ++i) {
    waiting.push_back(names.start(names.service().list(NamesHarness::parse("/"), "", 1000, names.soon())));
  }
  for (const auto& one : waiting) EXPECT_EQ(names.finish(one)->entries.size(), 30u);
  EXPECT_EQ(store.calls(SimOp::list), lists + 1);
  const std::uint64_t asked = store.calls(SimOp::stat);
  EXPECT_EQ(names.names("/").size(), 30u);
  EXPECT_TRUE(names.stat("/f7"));
  EXPECT_EQ(names.stat("/absent").code(), Code::not_found);
  EXPECT_EQ(store.calls(SimOp::stat), asked) << "a complete load proves attributes and absence";
}

TEST(Listing, AnUnchangedDirectoryIsNotListedAgainButItsEntriesAreAskedFor) {
  NamesHarness names;
  SimStore& store = names.store(uri);
  for (int i = 0; i < 5; ++i) store.put_file("f" + std::to_string(i), 1);
  ASSERT_TRUE(names.attach("/", uri, settings(1s)));
  ASSERT_EQ(names.names("/").size(), 5u);
  const std::uint64_t lists = store.calls(SimOp::list);
  const std::string before = names.stat("/f3")->inode.version;
  store.replace_file("f3");
  names.advance(5s);
  const Result<ListView> page = names.list("/");
  ASSERT_TRUE(page);
  EXPECT_NE(page->entries[3].second.inode.version, before);
  const bool tracks = store.capabilities().directory_version_tracks_entries;
  EXPECT_EQ(store.calls(SimOp::list), lists + (tracks ? 0u : 1u));
  store.put_file("new", 1);
  store.take_away("f0");
  names.advance(5s);
  EXPECT_EQ(names.names("/"), (std::vector<std::string>{"f1", "f2", "f3", "f4", "new"}));
}

TEST(Listing, MergesAttachmentPointsInByteOrderWhateverThePageSize) {
  NamesHarness names;
  SimStore& store = names.store(uri);
  names.store("sim://n").put_file("inner", 1);
  for (const char* name : {"a", "c", "e", "hidden", "x"}) store.put_file(name, 1);
  ASSERT_TRUE(names.attach("/", uri, settings(1s)));
  for (const char* path : {"/b", "/d/deep", "/y/z", "/z"}) ASSERT_TRUE(names.attach(path, "sim://n", settings(1s)));
  store.take_away("hidden");
  store.put_directory("hidden");
  ASSERT_TRUE(names.attach("/hidden/n", "sim://n", settings(1s)));
  names.advance(5s);
  const std::vector<std::string> expected{"a", "b", "c", "d", "e", "hidden", "x", "y", "z"};
  for (std::size_t page = 1; page <= 10; ++page) EXPECT_EQ(names.names("/", page), expected) << page;
  EXPECT_EQ(names.names("/d"), std::vector<std::string>{"deep"});
  EXPECT_EQ(names.names("/d/deep"), std::vector<std::string>{"inner"});
  EXPECT_EQ(names.names("/hidden"), std::vector<std::string>{"n"});
  EXPECT_EQ(names.stat("/d")->attachment.value, 0u);
  EXPECT_NE(names.stat("/d")->reported_id, names.stat("/y")->reported_id);
  EXPECT_EQ(names.list("/a").code(), Code::not_directory);
  EXPECT_EQ(names.stat("/d/other").code(), Code::not_found);
}

TEST(Listing, OfAVanishedDirectoryIsNotFoundAndItsSubtreeIsForgotten) {
  NamesHarness names;
  SimStore& store = names.store(uri);
  store.put_directory("d");
  store.put_file("d/f", 1);
  ASSERT_TRUE(names.attach("/", uri, settings(1s)));
  ASSERT_TRUE(names.stat("/d/f"));
  ASSERT_EQ(names.names("/d").size(), 1u);
  store.take_away("d");
  names.advance(2s);
  EXPECT_EQ(names.list("/d").code(), Code::not_found);
  EXPECT_EQ(names.stat("/d/f").code(), Code::not_found);
  names.settle();
  EXPECT_EQ(names.service().inode_count(), 1u) << "only the root is left";
}

TEST(Listing, AFaultInTheMiddleOfALoadIsAnErrorNotAShortListing) {
  NamesHarness names;
  names.options.load_batch = 4;
  names.reopen();
  SimStore& store = names.store(uri);
  for (int i = 0; i < 20; ++i) store.put_file("f" + std::to_string(i), 1);
  ASSERT_TRUE(names.attach("/", uri, settings(1s, ServeStale::never)));
  store.at_call(SimOp::list_next, store.calls(SimOp::list_next) + 2, {.kind = SimFault::Kind::fail, .code = Code::unavailable});
  EXPECT_EQ(names.list("/").code(), Code::unavailable);
  names.advance(2s);
  EXPECT_EQ(names.names("/").size(), 20u);
}

TEST(Attach, IsRefusedWhenTheRootCannotBeListed) {
  NamesHarness names;
  SimStore& store = names.store(uri);
  store.at_next_call(SimOp::list, {.kind = SimFault::Kind::fail, .code = Code::permission_denied});
  EXPECT_EQ(names.attach("/d", uri).code(), Code::permission_denied);
  EXPECT_EQ(names.stat("/d").code(), Code::not_found);
  AttachmentSettings odd;
  odd.page_size_bytes = 3000;
  EXPECT_EQ(names.attach("/d", uri, odd).code(), Code::invalid_argument);
}

TEST(Attach, ADetachedPathIsGoneAndComesBackWithOtherInodeIds) {
  NamesHarness names;
  names.store(uri).put_file("f", 1);
  ASSERT_TRUE(names.attach("/a/b", uri));
  const InodeId before = names.stat("/a/b/f")->inode.id;
  ASSERT_TRUE(names.run(names.service().detach(NamesHarness::parse("/a/b"), names.soon())));
  EXPECT_EQ(names.stat("/a/b/f").code(), Code::not_found);
  EXPECT_EQ(names.stat("/a").code(), Code::not_found);
  ASSERT_TRUE(names.attach("/a/b", uri));
  EXPECT_NE(names.stat("/a/b/f")->inode.id, before);
}

std::uint64_t resident_bytes() {
  std::ifstream in("/proc/self/statm");
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  in >> total >> resident;
  return resident * 4096;
}

// HEARTH_BIG_DIRECTORY=1000000 runs it at full size.
TEST(BigDirectory, IsLoadedInTurnsWithoutBlockingOthersOrHoldingItInMemory) {
  const char* given = std::getenv("HEARTH_BIG_DIRECTORY");
  const int entries = given != nullptr ? std::atoi(given) : 40'000;
  TemporaryDirectory where;
  RocksdbOptions options;
  options.directory = (where / "db").string();
  options.write_buffer_bytes = 8U << 20;
  options.cache_bytes = 8U << 20;
  const std::unique_ptr<MetaStore> rocks = std::move(*open_rocksdb_meta_store(options));
  NamesHarness names(rocks.get());
  SimStore& store = names.store(uri);
  store.put_directory("big");
  store.put_file("small", 1);
  for (int i = 0; i < entries; ++i) store.put_file("big/file-" + std::to_string(i), 1);
  ASSERT_TRUE(names.attach("/", uri, settings(0s)));
  const std::uint64_t before = resident_bytes();
  const auto listing = names.start(names.service().list(NamesHarness::parse("/big"), "", 1000, names.soon()));
  int answered = 0;
  std::uint64_t peak = before;
  std::chrono::nanoseconds worst{};
  while (!listing.done()) {
    const auto began = std::chrono::steady_clock::now();
    ASSERT_TRUE(names.stat("/small"));
    worst = std::max<std::chrono::nanoseconds>(worst, std::chrono::steady_clock::now() - began);
    ++answered;
    peak = std::max(peak, resident_bytes());
  }
  const Result<ListView> page = names.finish(listing);
  ASSERT_TRUE(page) << page.error().to_string();
  EXPECT_EQ(page->entries.size(), 1000u);
  EXPECT_EQ(page->rest, ListView::Rest::more);
  std::printf("%d entries: %d other stats answered meanwhile, the slowest in %.1f ms, %.0f MiB more memory\n", entries,
              answered, static_cast<double>(worst.count()) / 1e6, static_cast<double>(peak - before) / (1 << 20));
  EXPECT_GT(answered, entries / 1000);
#ifndef __SANITIZE_ADDRESS__  // its quarantine keeps freed memory
  EXPECT_LT(peak - before, 200ULL << 20);
#endif
  EXPECT_EQ(names.names("/big", 4096).size(), static_cast<std::size_t>(entries));
}

// Story: blocks were named by URI alone, so a bucket of the same name at another endpoint was served from the first one's.
TEST(Resolve, NamesOtherBlocksForTheSameUriAtAnotherEndpoint) {
  NamesHarness names;
  const std::string bucket = "s3://lake/raw";
  names.store(bucket).put_file("f", 10);
  const auto attach_at = [&](const std::string& path, const std::string& endpoint) {
    AttachmentSettings at = settings(1s);
    at.store_options["endpoint"] = endpoint;
    ASSERT_TRUE(names.attach(path, bucket, at));
  };
  attach_at("/one", "https://one.example");
  attach_at("/again", "https://one.example/");
  attach_at("/two", "https://two.example");
  const auto block = [&](const std::string& path) {
    const auto resolved = names.run(names.service().resolve(NamesHarness::parse(path), Freshness::cached, names.soon()));
    EXPECT_TRUE(resolved) << resolved.error().to_string();
    return resolved->blocks.at(0);
  };
  EXPECT_EQ(block("/one/f").version, block("/two/f").version);
  EXPECT_NE(block("/one/f").id, block("/two/f").id);
  EXPECT_EQ(block("/one/f").id, block("/again/f").id);
}

}  // namespace
}  // namespace hearth::master
