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

// ---- a mount that takes changes: an object of a local store is one node under all its names

using Objects = NodeTable::Objects;

FileStatus local_file(const std::string& inode, int version, std::uint32_t attachment = 1) {
  FileStatus status{.type = EntryType::regular};
  status.version = "l1-" + inode + "-" + std::to_string(version) + "-0";
  status.attachment = attachment;
  status.writable = true;
  return status;
}

class SharedNames : public ::testing::Test {
 protected:
  NodeId enter(const std::string& name, const FileStatus& status, NodeId parent = root_node) {
    const Result<NodeId> id = table_.enter(parent, name, status);
    EXPECT_TRUE(id) << name;
    return id ? *id : 0;
  }
  NodeTable table_{"/", directory(), Objects::shared_by_names};
};

TEST_F(SharedNames, HardLinksAreOneNodeWithSeveralPaths) {
  const NodeId folder = enter("d", directory());
  const NodeId first = enter("a", local_file("9", 1));
  EXPECT_EQ(enter("b", local_file("9", 1), folder), first);
  EXPECT_EQ(table_.paths(first), (std::vector<std::string>{"/d/b", "/a"}));
  EXPECT_NE(enter("c", local_file("8", 1)), first) << "another object of the same length and time";
  table_.forget(folder, 1);
  EXPECT_EQ(*table_.path(folder), "/d") << "the second name needs it";
  table_.forget(first, 2);
  EXPECT_EQ(table_.find(folder, "b"), std::nullopt);
  EXPECT_EQ(table_.size(), 1U);
}

TEST_F(SharedNames, OnlyWhereVersionsTellObjectsApartAndChangesAreTaken) {
  FileStatus read_only = local_file("9", 1);
  read_only.writable = false;
  EXPECT_NE(enter("a", read_only), enter("b", read_only));
  EXPECT_NE(enter("c", file(1)), enter("d", file(1))) << "equal versions of another store are not one object";
  EXPECT_NE(enter("e", local_file("9", 1, 1)), enter("f", local_file("9", 1, 2))) << "inode 9 of another attachment";
  FileStatus folder = local_file("7", 1);
  folder.type = EntryType::directory;
  EXPECT_NE(enter("g", folder), enter("h", folder)) << "a directory has one name";
  NodeTable one_per_name("/", directory());
  EXPECT_NE(*one_per_name.enter(root_node, "a", local_file("9", 1)), *one_per_name.enter(root_node, "b", local_file("9", 1)));
}

TEST_F(SharedNames, AnotherVersionOfAFileThatNobodyHasOpenDropsItsPagesOnly) {
  const NodeId node = enter("a", local_file("9", 1));
  EXPECT_EQ(enter("b", local_file("9", 1)), node);
  EXPECT_FALSE(table_.take_drop_pages(node)) << "the same version";
  EXPECT_EQ(enter("a", local_file("9", 2)), node);
  EXPECT_EQ(enter("b", local_file("9", 2)), node);
  EXPECT_EQ(table_.status(node)->version, "l1-9-2-0");
  EXPECT_TRUE(table_.take_drop_pages(node)) << "also when the first lookup after the change was not followed by an open";
  EXPECT_FALSE(table_.take_drop_pages(node)) << "once";
  EXPECT_NE(enter("a", local_file("8", 2)), node) << "another file in its place is another node";
}

// Elsewhere "a" was replaced, so its file is gone, and the store gave its inode to the next new one.
TEST_F(SharedNames, AnInodeThatMayHaveBeenGivenToAnotherFileIsNotTheOldNode) {
  const NodeId old = enter("a", local_file("9", 1));
  table_.tell("/a", ChangeNotice::Path::Reach::name, TimePoint::min());
  const NodeId fresh = enter("b", local_file("9", 2));
  EXPECT_NE(fresh, old) << "whoever still has the name a must not get to b";
  EXPECT_EQ(table_.paths(old), std::vector<std::string>{"/a"});
  EXPECT_TRUE(table_.was_told(old));
  EXPECT_FALSE(table_.is_newest(old));
  EXPECT_EQ(enter("c", local_file("9", 2)), fresh) << "another name of the new one";
  EXPECT_EQ(enter("a", local_file("9", 2)), fresh) << "it was the same file all the time: its names meet again";
}

TEST_F(SharedNames, AnotherNameOfAFileWithSeveralIsTheSameNode) {
  const NodeId node = enter("a", local_file("9", 1));
  table_.tell("/a", ChangeNotice::Path::Reach::name, TimePoint::min());
  FileStatus linked = local_file("9", 2);
  linked.link_count = 2;
  EXPECT_EQ(enter("b", linked), node) << "what is written under one name shows under the other";
}

TEST_F(SharedNames, AFileThatIsOpenInPlaceKeepsItsInode) {
  const NodeId node = enter("a", local_file("9", 1));
  table_.set_content(node, NodeTable::Content::live);
  table_.tell("/a", ChangeNotice::Path::Reach::name, TimePoint::min());
  EXPECT_EQ(enter("b", local_file("9", 2)), node) << "another mount renamed it";
}

TEST_F(SharedNames, AVersionThatSettledIsTheSameContent) {
  FileStatus unsettled = local_file("9", 1);
  unsettled.version += "-n77";
  const NodeId node = enter("a", unsettled);
  ASSERT_TRUE(table_.pin(node));
  EXPECT_EQ(enter("a", local_file("9", 1)), node) << "open or not";
  EXPECT_EQ(table_.status(node)->version, "l1-9-1-0");
  EXPECT_FALSE(table_.take_drop_pages(node));
}

TEST_F(SharedNames, AFileThatChangedElsewhereWhileItWasOpenIsANewNodeForAllNames) {
  const NodeId old = enter("a", local_file("9", 1));
  EXPECT_EQ(enter("b", local_file("9", 1)), old);
  ASSERT_TRUE(table_.pin(old));
  const NodeId changed = enter("a", local_file("9", 2));
  EXPECT_NE(changed, old);
  EXPECT_EQ(table_.status(old)->version, "l1-9-1-0") << "the open handle keeps reading its own";
  EXPECT_EQ(enter("b", local_file("9", 2)), changed) << "the other name comes along when it is looked up";
  EXPECT_TRUE(table_.is_newest(changed));
  EXPECT_FALSE(table_.is_newest(old));
  EXPECT_FALSE(table_.take_drop_pages(changed));
}

TEST_F(SharedNames, ALiveFileKeepsItsNodeThroughAllVersions) {
  const NodeId node = enter("a", local_file("9", 1));
  ASSERT_TRUE(table_.pin(node));
  table_.set_content(node, NodeTable::Content::live);
  FileStatus longer = local_file("9", 3);
  longer.length_bytes = 5;
  EXPECT_EQ(enter("a", longer), node);
  EXPECT_EQ(enter("c", longer), node) << "also under a name that is new";
  EXPECT_EQ(table_.status(node)->version, "l1-9-1-0") << "a lookup says nothing of a live file: its descriptor does";
  EXPECT_FALSE(table_.take_drop_pages(node)) << "the kernel's pages are the file's";
  EXPECT_NE(enter("a", local_file("8", 3)), node) << "another file in its place is another node";
  table_.set_content(node, NodeTable::Content::of_version);
  EXPECT_NE(enter("c", local_file("9", 4)), node);
}

TEST_F(SharedNames, AdoptMakesAVersionTheNodesOwn) {
  const NodeId node = enter("a", local_file("9", 1));
  ASSERT_TRUE(table_.pin(node));
  EXPECT_FALSE(table_.refresh(node, local_file("9", 2))) << "newer content is not an attribute of an open file";
  EXPECT_EQ(table_.status(node)->version, "l1-9-1-0");
  FileStatus read_only = local_file("9", 1);
  read_only.mode = 0400;
  EXPECT_TRUE(table_.refresh(node, read_only));
  EXPECT_EQ(table_.status(node)->mode, 0400U);
  table_.adopt(node, local_file("9", 2));
  EXPECT_EQ(table_.status(node)->version, "l1-9-2-0");
  EXPECT_EQ(enter("a", local_file("9", 2)), node);
  table_.adopt(node, directory());
  EXPECT_EQ(table_.status(node)->type, EntryType::regular) << "a node never changes its type";
}

TEST_F(SharedNames, ADroppedNameLeavesTheOthersAndAtLastANodeWithoutAPath) {
  const NodeId node = enter("a", local_file("9", 1));
  enter("b", local_file("9", 1));
  table_.drop_name(root_node, "a");
  EXPECT_EQ(table_.find(root_node, "a"), std::nullopt);
  EXPECT_EQ(*table_.path(node), "/b");
  ASSERT_TRUE(table_.pin(node));
  table_.drop_name(root_node, "b");
  EXPECT_FALSE(table_.has_name(node));
  EXPECT_EQ(table_.path(node).code(), Code::stale);
  EXPECT_TRUE(table_.paths(node).empty());
  EXPECT_TRUE(table_.status(node)) << "fstat of an open file still answers";
  const NodeId reused = enter("c", local_file("9", 1));
  EXPECT_NE(reused, node) << "the store gives inode numbers of removed files out again";
  table_.forget(node, 2);
  EXPECT_TRUE(table_.status(node)) << "it is open";
  EXPECT_EQ(table_.unpin(node), 0U);
  EXPECT_EQ(table_.status(node).code(), Code::stale);
  EXPECT_EQ(table_.find(root_node, "c"), reused) << "the end of the old one takes nothing from the new one";
  EXPECT_EQ(enter("d", local_file("9", 1)), reused);
  table_.drop_name(root_node, "never there");
}

TEST_F(SharedNames, ALiveFileWithoutANameThatIsKnownHereIsFoundAgainUnderOneThatWasMadeElsewhere) {
  const NodeId node = enter("a", local_file("9", 1));
  ASSERT_TRUE(table_.pin(node));
  table_.set_content(node, NodeTable::Content::live);
  table_.drop_name(root_node, "a");
  EXPECT_EQ(enter("b", local_file("9", 2)), node) << "two nodes of one open file would not see each other's writes";
  EXPECT_EQ(*table_.path(node), "/b");
  table_.drop_name(root_node, "b");
  table_.set_content(node, NodeTable::Content::of_version);
  EXPECT_NE(enter("c", local_file("9", 1)), node) << "it is closed: the store may have given its number out again";
}

TEST_F(SharedNames, AMovedNameTakesItsNodeAndWhatLiesBelowAlong) {
  const NodeId from = enter("from", directory());
  const NodeId to = enter("to", directory());
  const NodeId tree = enter("tree", directory(), from);
  const NodeId leaf = enter("leaf", local_file("9", 1), tree);
  table_.move_name(from, "tree", to, "moved");
  EXPECT_EQ(*table_.path(leaf), "/to/moved/leaf");
  EXPECT_EQ(table_.parent(tree), to);
  EXPECT_EQ(table_.find(from, "tree"), std::nullopt);
  EXPECT_EQ(table_.find(to, "moved"), tree);
  table_.forget(from, 1);
  EXPECT_EQ(table_.path(from).code(), Code::stale) << "nothing lies there any more";
  table_.forget(to, 1);
  EXPECT_EQ(*table_.path(leaf), "/to/moved/leaf");
}

TEST_F(SharedNames, AMoveOverAnotherFileTakesItsNameOnly) {
  const NodeId winner = enter("a", local_file("9", 1));
  const NodeId loser = enter("b", local_file("8", 1));
  EXPECT_EQ(enter("c", local_file("8", 1)), loser);
  table_.move_name(root_node, "a", root_node, "b");
  EXPECT_EQ(table_.find(root_node, "b"), winner);
  EXPECT_EQ(table_.find(root_node, "a"), std::nullopt);
  EXPECT_EQ(table_.paths(winner), std::vector<std::string>{"/b"});
  EXPECT_EQ(table_.paths(loser), std::vector<std::string>{"/c"});
  EXPECT_EQ(enter("b", local_file("9", 1)), winner) << "a lone name that moved is still this object";
  EXPECT_EQ(enter("d", local_file("9", 1)), winner);
  // What was never looked up moves over it: nothing is known of the name then.
  table_.move_name(root_node, "unknown", root_node, "c");
  EXPECT_EQ(table_.find(root_node, "c"), std::nullopt);
  EXPECT_FALSE(table_.has_name(loser));
}

// rename(2): "If oldpath and newpath are existing hard links referring to the same file, rename() does nothing".
TEST_F(SharedNames, AMoveOntoAnotherNameOfTheSameFileDoesNothing) {
  const NodeId node = enter("a", local_file("9", 1));
  enter("b", local_file("9", 1));
  table_.move_name(root_node, "a", root_node, "b");
  EXPECT_EQ(table_.paths(node), (std::vector<std::string>{"/b", "/a"}));
  table_.move_name(root_node, "a", root_node, "a");
  EXPECT_EQ(table_.find(root_node, "a"), node);
}

TEST_F(SharedNames, ExchangedNamesSwapTheirNodesAndTheirPlaces) {
  const NodeId left = enter("left", directory());
  const NodeId right = enter("right", directory());
  const NodeId file = enter("x", local_file("9", 1), left);
  const NodeId tree = enter("y", directory(), right);
  const NodeId below = enter("z", local_file("8", 1), tree);
  table_.exchange_names(left, "x", right, "y");
  EXPECT_EQ(*table_.path(file), "/right/y");
  EXPECT_EQ(*table_.path(below), "/left/x/z");
  EXPECT_EQ(table_.find(left, "x"), tree);
  EXPECT_EQ(table_.find(right, "y"), file);
  table_.forget(file, 1);
  table_.forget(right, 1);
  EXPECT_EQ(table_.path(right).code(), Code::stale) << "only the swapped file needed it";
  EXPECT_EQ(*table_.path(left), "/left");
  table_.forget(left, 1);
  EXPECT_EQ(*table_.path(below), "/left/x/z");
  table_.exchange_names(left, "x", left, "unknown");
  EXPECT_EQ(table_.find(left, "x"), std::nullopt) << "what stands there is to be looked up";
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
