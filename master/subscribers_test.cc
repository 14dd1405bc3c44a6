// Who is told what, and who is waited for.
#include "master/subscribers.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace hearth::master {
namespace {

using News = std::vector<NameNews>;
using Scope = Notice::Scope;

News news(const std::string& path) { return {NameNews{.path = path}}; }

class SubscribersTest : public ::testing::Test {
 protected:
  struct Sent {
    ConnectionId to;
    Notice notice;
  };
  // What was sent since the last call.
  std::vector<Sent> sent() { return std::exchange(sent_, {}); }
  void acknowledge(const std::vector<Sent>& all) {
    for (const Sent& one : all) subscribers_.acknowledge(one.to, one.notice.sequence);
  }
  static std::vector<std::string> paths(const Notice& notice) {
    std::vector<std::string> out;
    for (const NameNews& one : notice.news) out.push_back(one.path);
    return out;
  }

  std::vector<Sent> sent_;
  Subscribers subscribers_{[this](std::span<const ConnectionId> to, const Notice& notice) {
                             for (const ConnectionId one : to) sent_.push_back(Sent{one, notice});
                           },
                           Subscribers::Limits{.most_paths = 3, .most_bytes = 100}};
  static constexpr ConnectionId author = 1;
};

TEST_F(SubscribersTest, AChangeThatNobodyElseHearsOfWaitsForNobody) {
  EXPECT_TRUE(subscribers_.publish(news("/a"), author)->everywhere->landed());
  EXPECT_EQ(subscribers_.subscribe(author), Subscribers::Subscribed::anew);
  EXPECT_EQ(subscribers_.subscribe(author), Subscribers::Subscribed::already);
  EXPECT_TRUE(subscribers_.publish(news("/a"), author)->everywhere->landed()) << "its author knows";
  EXPECT_TRUE(sent().empty());
}

TEST_F(SubscribersTest, AChangeIsKnownWhenAllOthersAcknowledgedIt) {
  for (const ConnectionId one : {author, ConnectionId{2}, ConnectionId{3}}) subscribers_.subscribe(one);
  const auto told = subscribers_.publish(news("/a"), author);
  const auto first = sent();
  ASSERT_EQ(first.size(), 2U);
  EXPECT_EQ(paths(first[0].notice), std::vector<std::string>{"/a"});
  subscribers_.acknowledge(2, first[0].notice.sequence + 7);
  subscribers_.acknowledge(2, 0);
  subscribers_.acknowledge(9, first[0].notice.sequence);
  acknowledge({first[0]});
  EXPECT_FALSE(told->everywhere->landed()) << "one is missing";
  acknowledge({first[1]});
  EXPECT_TRUE(told->everywhere->landed());
}

TEST_F(SubscribersTest, WhatChangesMeanwhileGoesAsOneNoticeOncePerPath) {
  subscribers_.subscribe(2);
  const auto first = subscribers_.publish(news("/a"), author);
  const auto before = sent();
  const auto second = subscribers_.publish({NameNews{.path = "/b", .reach = NameNews::Reach::tree}, NameNews{.path = "/c"}}, author);
  const auto third = subscribers_.publish({NameNews{.path = "/b", .state = NameNews::State::gone}}, author);
  EXPECT_TRUE(sent().empty()) << "one notice is on its way at a time";
  acknowledge(before);
  EXPECT_TRUE(first->everywhere->landed());
  EXPECT_FALSE(second->everywhere->landed());
  const auto after = sent();
  ASSERT_EQ(after.size(), 1U);
  const News expected{NameNews{.path = "/b", .state = NameNews::State::gone, .reach = NameNews::Reach::tree}, NameNews{.path = "/c"}};
  EXPECT_EQ(after[0].notice.news, expected);
  EXPECT_GT(after[0].notice.sequence, before[0].notice.sequence);
  acknowledge(after);
  EXPECT_TRUE(second->everywhere->landed());
  EXPECT_TRUE(third->everywhere->landed());
  EXPECT_TRUE(sent().empty());
}

TEST_F(SubscribersTest, MoreThanIsGatheredBecomesEverything) {
  subscribers_.subscribe(2);
  subscribers_.publish(news("/a"), author);
  const auto before = sent();
  for (const std::string path : {"/1", "/2", "/3", "/4", "/5"}) subscribers_.publish(news(path), author);
  acknowledge(before);
  auto after = sent();
  ASSERT_EQ(after.size(), 1U);
  EXPECT_EQ(after[0].notice.scope, Scope::everything);
  EXPECT_TRUE(after[0].notice.news.empty());
  subscribers_.publish(news("/" + std::string(100, 'x')), author);
  acknowledge(after);
  after = sent();
  ASSERT_EQ(after.size(), 1U);
  EXPECT_EQ(after[0].notice.scope, Scope::everything) << "bytes count, too";
  EXPECT_EQ(subscribers_.lagging(), 0U) << "it keeps up";
}

TEST_F(SubscribersTest, WhatNobodyWaitsForIsLeftOutWhenThereIsNoRoom) {
  subscribers_.subscribe(2);
  subscribers_.mention(news("/a"));
  const auto before = sent();
  ASSERT_EQ(before.size(), 1U);
  for (const std::string path : {"/1", "/2", "/3", "/4", "/5"}) subscribers_.mention(news(path));
  acknowledge(before);
  const auto after = sent();
  ASSERT_EQ(after.size(), 1U);
  EXPECT_EQ(paths(after[0].notice), (std::vector<std::string>{"/1", "/2", "/3"}));
}

TEST_F(SubscribersTest, WhoLooksWaitsForWhatWasMentionedBefore) {
  subscribers_.subscribe(2);
  subscribers_.mention(news("/a"));
  const auto told = subscribers_.publish({}, author);
  EXPECT_FALSE(told->everywhere->landed());
  acknowledge(sent());
  EXPECT_TRUE(told->everywhere->landed());
  EXPECT_TRUE(subscribers_.publish({}, author)->everywhere->landed());
  EXPECT_TRUE(sent().empty());
}

TEST_F(SubscribersTest, WhoIsWaitedForInVainIsNotWaitedForAgainAndDropsEverything) {
  subscribers_.subscribe(2);
  subscribers_.subscribe(3);
  const auto first = subscribers_.publish(news("/a"), author);
  const auto second = subscribers_.publish(news("/b"), author);
  const auto before = sent();
  ASSERT_EQ(before.size(), 2U);
  acknowledge({before[1]});
  acknowledge(sent());
  subscribers_.give_up(first);
  EXPECT_EQ(subscribers_.lagging(), 1U);
  EXPECT_TRUE(second->everywhere->landed()) << "nobody else waits for it either";
  const auto third = subscribers_.publish(news("/c"), author);
  acknowledge(sent());
  EXPECT_TRUE(third->everywhere->landed());

  acknowledge({before[0]});  // it is back
  auto after = sent();
  ASSERT_EQ(after.size(), 1U);
  EXPECT_EQ(after[0].to, 2U);
  EXPECT_EQ(after[0].notice.scope, Scope::everything);
  EXPECT_EQ(subscribers_.lagging(), 1U) << "until it has dropped everything";
  const auto fourth = subscribers_.publish(news("/d"), author);
  acknowledge(sent());
  EXPECT_TRUE(fourth->everywhere->landed());
  acknowledge(after);
  EXPECT_EQ(subscribers_.lagging(), 0U);
  after = sent();
  ASSERT_EQ(after.size(), 1U);
  EXPECT_EQ(paths(after[0].notice), std::vector<std::string>{"/d"}) << "what changed while it dropped everything";
  const auto fifth = subscribers_.publish(news("/e"), author);
  EXPECT_FALSE(fifth->everywhere->landed()) << "it is one like the others again";
}

TEST_F(SubscribersTest, NobodyWaitsForAConnectionThatIsGone) {
  subscribers_.subscribe(2);
  const auto first = subscribers_.publish(news("/a"), author);
  const auto second = subscribers_.publish(news("/b"), author);
  subscribers_.remove(2);
  EXPECT_TRUE(first->everywhere->landed());
  EXPECT_TRUE(second->everywhere->landed());
  EXPECT_EQ(subscribers_.size(), 0U);
  subscribers_.remove(2);
  EXPECT_EQ(subscribers_.subscribe(2), Subscribers::Subscribed::anew);
}

TEST_F(SubscribersTest, ANoticeIsMadeOnceForAllWhoTakeItAtOnce) {
  constexpr ConnectionId many = 50;
  for (ConnectionId one = 2; one < 2 + many; ++one) subscribers_.subscribe(one);
  const auto told = subscribers_.publish(news("/a"), author);
  const auto all = sent();
  ASSERT_EQ(all.size(), many);
  for (const Sent& one : all) EXPECT_EQ(one.notice.sequence, all[0].notice.sequence);
  acknowledge(all);
  EXPECT_TRUE(told->everywhere->landed());
}

}  // namespace
}  // namespace hearth::master
