// What is news about a name, and what is not.
#include "common/object_identity.h"
#include "master/testing/names_harness.h"
#include "master/testing/store_clock.h"
#include "master/testing/temporary_directory.h"
#include "understore/local_store.h"

#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace hearth::master::news {
namespace {

using namespace std::chrono_literals;
using Lines = std::vector<std::string>;
constexpr const char* uri = "sim://store";

// "/a", "-/a" (gone), "/a/**" (and all below it); sorted.
Lines lines(const std::vector<NameNews>& news) {
  Lines out;
  for (const NameNews& one : news) {
    out.push_back((one.state == NameNews::State::gone ? "-" : "") + one.path + (one.reach == NameNews::Reach::tree ? "/**" : ""));
  }
  std::sort(out.begin(), out.end());
  return out;
}

AttachmentSettings news_settings(Duration ttl) {
  AttachmentSettings out;
  out.metadata_ttl = ttl;
  return out;
}

class News : public ::testing::Test {
 protected:
  void listen(NamesHarness& names) {
    names.service().on_news([this](std::vector<NameNews> news) { learned_.insert(learned_.end(), news.begin(), news.end()); });
    names.service().listen_for_news(Listening::on);
  }
  Lines learned() { return lines(std::exchange(learned_, {})); }

  std::vector<NameNews> learned_;
};

TEST_F(News, WhatAQuestionFindsIsNewsOnlyOfWhatWasKnown) {
  NamesHarness names;
  SimStore& store = names.store(uri);
  store.put_directory("d");
  store.put_file("d/f", 10);
  ASSERT_TRUE(names.attach("/at", uri, news_settings(1s)));
  listen(names);
  ASSERT_TRUE(names.stat("/at/d/f"));
  ASSERT_EQ(names.stat("/at/d/g").code(), Code::not_found);
  EXPECT_EQ(learned(), Lines{}) << "nobody could know it before";
  names.advance(2s);
  ASSERT_TRUE(names.stat("/at/d/f"));
  EXPECT_EQ(learned(), Lines{}) << "it is what it was";
  store.replace_file("d/f");
  names.advance(2s);
  ASSERT_TRUE(names.stat("/at/d/f"));
  EXPECT_EQ(learned(), Lines{"/at/d/f"});
  store.take_away("d/f");
  store.take_away("d");
  names.advance(2s);
  EXPECT_EQ(names.stat("/at/d/f").code(), Code::not_found);
  EXPECT_EQ(names.stat("/at/d").code(), Code::not_found);
  const Lines gone = learned();
  EXPECT_TRUE(std::find(gone.begin(), gone.end(), "-/at/d/**") != gone.end()) << ::testing::PrintToString(gone);
  EXPECT_EQ(names.stat("/at/d").code(), Code::not_found);
  EXPECT_EQ(learned(), Lines{});
}

TEST_F(News, AStoreThatDoesNotAnswerIsNoNews) {
  NamesHarness names;
  SimStore& store = names.store(uri);
  store.put_file("f", 10);
  ASSERT_TRUE(names.attach("/", uri, news_settings(1s)));
  listen(names);
  ASSERT_TRUE(names.stat("/f"));
  store.set_reachable(SimReachable::no);
  names.advance(2s);
  static_cast<void>(names.stat("/f"));
  EXPECT_EQ(learned(), Lines{});
}

TEST_F(News, WhileNobodyListensThereIsNone) {
  NamesHarness names;
  SimStore& store = names.store(uri);
  store.put_file("f", 10);
  ASSERT_TRUE(names.attach("/", uri, news_settings(1s)));
  listen(names);
  names.service().listen_for_news(Listening::off);
  ASSERT_TRUE(names.stat("/f"));
  store.replace_file("f");
  names.advance(2s);
  ASSERT_TRUE(names.stat("/f"));
  EXPECT_EQ(learned(), Lines{});
}

// Changes over a real directory; the clock stands still.
class NewsOfChanges : public News {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(disk_ / "one");
    ASSERT_TRUE(names_.attach("/data", "file://" + (disk_ / "one").string(), news_settings(1h)));
    listen(names_);
  }
  Lines change(Change change) {
    Caller self{.uid = ::geteuid(), .gid = ::getegid(), .groups = {}, .umask = 022};
    const auto done = names_.run(names_.service().change(std::move(change), std::move(self), names_.soon()));
    return done ? lines(done->news) : Lines{done.error().to_string()};
  }
  void write(const std::string& name, const std::string& text) { std::ofstream(disk_ / "one" / name) << text; }

  TemporaryDirectory disk_;
  BlockingPool pool_{4, 64};
  StoreClock store_clock_{names_.clock};
  NamesHarness names_{[this](const std::string& store, const StoreOptions&) { return open_local_store(store, pool_, store_clock_); }};
};

TEST_F(NewsOfChanges, AChangeNamesWhatItTouched) {
  EXPECT_EQ(change(MakeDirectory{.path = "/data/d", .mode = 0755}), (Lines{"/data", "/data/d"}));
  EXPECT_EQ(change(MakeNode{.path = "/data/d/f", .mode = S_IFREG | 0644, .device = 0}), (Lines{"/data/d", "/data/d/f"}));
  EXPECT_EQ(change(SetAttributes{.path = "/data/d/f", .mode = 0600, .uid = {}, .gid = {}, .atime = {}, .mtime = {}}), Lines{"/data/d/f"});
  EXPECT_EQ(change(Rename{.from = "/data/d/f", .to = "/data/g", .target = Rename::Target::replace}),
            (Lines{"-/data/d/f", "/data", "/data/d", "/data/g"}));
  EXPECT_EQ(change(Rename{.from = "/data/d", .to = "/data/e", .target = Rename::Target::replace}),
            (Lines{"-/data/d/**", "/data", "/data/e"}));
  EXPECT_EQ(change(RemoveFile{.path = "/data/g"}), (Lines{"-/data/g", "/data"}));
  EXPECT_EQ(change(RemoveDirectory{.path = "/data/e"}), (Lines{"-/data/e/**", "/data"}));
  EXPECT_EQ(learned(), Lines{}) << "a change answers its own";
}

TEST_F(NewsOfChanges, LookingIsNewsWhenSomethingIsFound) {
  write("f", "one");
  EXPECT_EQ(change(LookAgain{.path = "/data/f"}), (Lines{"/data", "/data/f"}));
  while (has_nonce(names_.stat("/data/f", Freshness::revalidate)->inode.version)) {
  }
  learned();
  EXPECT_EQ(change(LookAgain{.path = "/data/f"}), Lines{});
  write("f", "other");
  EXPECT_EQ(change(LookAgain{.path = "/data/f"}), Lines{"/data/f"});
  std::filesystem::remove(disk_ / "one" / "f");
  const Lines gone = change(LookAgain{.path = "/data/f"});
  EXPECT_TRUE(std::find(gone.begin(), gone.end(), "-/data/f") != gone.end()) << ::testing::PrintToString(gone);
  EXPECT_EQ(change(LookAgain{.path = "/data/f"}), Lines{}) << "it was gone before";
}

}  // namespace
}  // namespace hearth::master::news
