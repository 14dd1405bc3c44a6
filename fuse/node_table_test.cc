#include "fuse/node_table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

namespace hearth {
namespace {

FileStatus directory() { return {.type = EntryType::directory}; }
FileStatus file(int version) { return {.type = EntryType::regular, .version = "v" + std::to_string(version)}; }

TEST(NodeTable, GivesANewVersionANewNodeAndKeepsTheOldOne) {
  NodeTable table("/", directory());
  const NodeId first = *table.enter(root_node, "f", file(1));
  EXPECT_EQ(*table.enter(root_node, "f", file(1)), first);
  const NodeId second = *table.enter(root_node, "f", file(2));
  EXPECT_NE(second, first);
  EXPECT_EQ(table.status(first)->version, "v1");
  EXPECT_EQ(*table.path(first), "/f");
  table.forget(first, 2);
  EXPECT_EQ(table.status(first).code(), Code::stale);
  EXPECT_EQ(*table.enter(root_node, "f", file(2)), second);
  table.forget(second, 2);
  EXPECT_EQ(table.size(), 0U);
}

TEST(NodeTable, KeepsADirectoryNodeAcrossItsChanges) {
  NodeTable table("/", directory());
  FileStatus changed = directory();
  changed.version = "other";
  const NodeId first = *table.enter(root_node, "d", directory());
  EXPECT_EQ(*table.enter(root_node, "d", changed), first);
  EXPECT_NE(*table.enter(root_node, "d", file(1)), first) << "a file in its place is another node";
}

TEST(NodeTable, GivesASymlinkWithAnotherTargetANewNode) {
  NodeTable table("/", directory());
  const NodeId first = *table.enter(root_node, "s", {.type = EntryType::symlink, .symlink_target = "a"});
  EXPECT_NE(*table.enter(root_node, "s", {.type = EntryType::symlink, .symlink_target = "b"}), first);
}

TEST(NodeTable, BuildsPathsUnderTheMountedSubtreeFromRawBytes) {
  NodeTable table("/data/set", directory());
  const std::string evil("\n\xff\xfe ,\\", 6);
  const NodeId node = *table.enter(root_node, evil, directory());
  EXPECT_EQ(*table.path(root_node), "/data/set");
  EXPECT_EQ(*table.path(node, "x"), "/data/set/" + evil + "/x");
}

TEST(NodeTable, KeepsAForgottenParentWhileItsChildNeedsItsPath) {
  NodeTable table("/", directory());
  const NodeId above = *table.enter(root_node, "d", directory());
  const NodeId below = *table.enter(above, "f", file(1));
  table.forget(above, 1);
  EXPECT_EQ(*table.path(below), "/d/f");
  table.forget(below, 1);
  EXPECT_EQ(table.size(), 0U);
}

TEST(NodeTable, KeepsAnOpenNodeThatTheKernelForgot) {
  NodeTable table("/", directory());
  const NodeId node = *table.enter(root_node, "f", file(1));
  ASSERT_TRUE(table.pin(node));
  table.forget(node, 1);
  EXPECT_TRUE(table.pinned(node));
  EXPECT_EQ(*table.path(node), "/f");
  table.unpin(node);
  EXPECT_EQ(table.size(), 0U);
}

// A plain model: every live node with its parent, name, version and counts.
struct Model {
  struct Node { NodeId parent; std::string name; int version; bool is_directory; int lookups = 0; int opens = 0; };
  std::map<NodeId, Node> nodes;
  std::map<std::pair<NodeId, std::string>, NodeId> newest;

  bool needed(NodeId id) const {
    const Node& node = nodes.at(id);
    if (node.lookups > 0 || node.opens > 0) return true;
    for (const auto& [other, child] : nodes) {
      if (child.parent == id && needed(other)) return true;
    }
    return false;
  }
  std::size_t count() const {
    std::size_t live = 0;
    for (const auto& [id, node] : nodes) live += needed(id) ? 1 : 0;
    return live;
  }
  void sweep() {
    for (auto at = nodes.begin(); at != nodes.end();) {
      if (needed(at->first)) { ++at; continue; }
      const auto key = std::make_pair(at->second.parent, at->second.name);
      if (newest.contains(key) && newest[key] == at->first) newest.erase(key);
      at = nodes.erase(at);
    }
  }
  std::string path(NodeId id) const {
    if (id == root_node) return "";
    return path(nodes.at(id).parent) + "/" + nodes.at(id).name;
  }
};

void step(NodeTable& table, Model& model, std::mt19937& random) {
  std::vector<NodeId> ids;
  for (const auto& [id, node] : model.nodes) ids.push_back(id);
  const auto pick = [&] { return ids[random() % ids.size()]; };
  const unsigned action = random() % 10;
  if (ids.empty() || action < 5) {
    NodeId parent = root_node;
    if (!ids.empty() && random() % 2 == 0) parent = pick();
    if (parent != root_node && (!model.nodes.at(parent).is_directory || model.nodes.at(parent).lookups == 0)) parent = root_node;
    const std::string name(1, static_cast<char>('a' + random() % 4));
    const bool is_directory = random() % 3 == 0;
    const int version = static_cast<int>(random() % 3);
    const NodeId id = *table.enter(parent, name, is_directory ? directory() : file(version));
    const auto known = model.newest.find({parent, name});
    const bool same = known != model.newest.end() && model.nodes.at(known->second).is_directory == is_directory &&
                      (is_directory || model.nodes.at(known->second).version == version);
    ASSERT_EQ(same, known != model.newest.end() && known->second == id);
    if (!same) {
      ASSERT_FALSE(model.nodes.contains(id));
      model.nodes[id] = {parent, name, version, is_directory};
      model.newest[{parent, name}] = id;
    }
    ++model.nodes.at(id).lookups;
    return;
  }
  const NodeId id = pick();
  Model::Node& node = model.nodes.at(id);
  if (action < 8 && node.lookups > 0) {
    const int count = 1 + static_cast<int>(random() % node.lookups);
    node.lookups -= count;
    table.forget(id, count);
  } else if (action == 8 && node.lookups > 0) {
    ++node.opens;
    ASSERT_TRUE(table.pin(id));
  } else if (node.opens > 0) {
    --node.opens;
    table.unpin(id);
  }
  model.sweep();
}

TEST(NodeTable, AgreesWithAPlainModelUnderRandomOperations) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    NodeTable table("/", directory());
    Model model;
    for (int i = 0; i < 1000; ++i) {
      ASSERT_NO_FATAL_FAILURE(step(table, model, random));
      ASSERT_EQ(table.size(), model.count());
      for (const auto& [id, node] : model.nodes) {
        ASSERT_EQ(*table.path(id), model.path(id));
        ASSERT_EQ(table.pinned(id), node.opens > 0);
      }
    }
  }
}

}  // namespace
}  // namespace hearth
