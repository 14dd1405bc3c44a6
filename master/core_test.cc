// The parts of the master that wait for nothing: paths, records, attachments, the tree.
#include "common/rng.h"
#include "master/memory_meta_store.h"
#include "master/meta_keys.h"
#include "master/metadata_check.h"
#include "master/namespace.h"
#include "master/rocksdb_meta_store.h"
#include "master/testing/temporary_directory.h"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include <optional>
#include <random>
#include <set>

namespace hearth::master {
namespace {

std::string hex(std::string_view bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out.push_back(digits[static_cast<unsigned char>(c) >> 4]);
    out.push_back(digits[static_cast<unsigned char>(c) & 15]);
  }
  return out;
}

ObjectInfo object(const std::string& name, FileType type, const std::string& version) {
  ObjectInfo out;
  out.name = name;
  out.type = type;
  out.version = version;
  out.mode = type == FileType::directory ? 0755 : 0644;
  out.length_bytes = version.size();
  return out;
}
ObjectInfo file(const std::string& name, const std::string& version) { return object(name, FileType::regular, version); }
ObjectInfo directory(const std::string& name, const std::string& version) {
  return object(name, FileType::directory, version);
}

NamespacePath path_of(const std::string& text) {
  Result<NamespacePath> path = NamespacePath::parse(text);
  EXPECT_TRUE(path) << text;
  return path ? *path : NamespacePath();
}

// ---- paths

TEST(NamespacePathTest, RefusesWhatIsNotAPathAndSaysWhy) {
  struct Case {
    std::string text;
    Code code;
    std::string says;
  };
  const std::vector<Case> cases{
      {"", Code::invalid_argument, "not absolute"},
      {"a/b", Code::invalid_argument, "not absolute"},
      {"//", Code::invalid_argument, "component 1"},
      {"/a//b", Code::invalid_argument, "component 2"},
      {"/a/", Code::invalid_argument, "component 2"},
      {"/.", Code::invalid_argument, "\".\""},
      {"/a/../b", Code::invalid_argument, "component 2"},
      {std::string("/a\0b", 4), Code::invalid_argument, "zero byte"},
      {"/" + std::string(256, 'x'), Code::name_too_long, "256"},
      {"/" + std::string(4096, 'x'), Code::name_too_long, "4097"},
  };
  for (const Case& one : cases) {
    const Result<NamespacePath> path = NamespacePath::parse(one.text);
    ASSERT_FALSE(path) << printable(one.text);
    EXPECT_EQ(path.code(), one.code) << printable(one.text);
    EXPECT_NE(path.error().message().find(one.says), std::string::npos) << path.error().message();
  }
}

TEST(NamespacePathTest, TakesAnyOtherBytes) {
  EXPECT_TRUE(path_of("/").is_root());
  const NamespacePath path = path_of("/a\n/\xff\xfe/" + std::string(255, 'n'));
  EXPECT_EQ(path.components().size(), 3u);
  EXPECT_EQ(path.relative_to(1), "\xff\xfe/" + std::string(255, 'n'));
  EXPECT_EQ(path.ancestor(1).text(), "/a\n");
  EXPECT_TRUE(path.ancestor(0).is_root());
  EXPECT_TRUE(path.ancestor(2).contains(path));
  EXPECT_FALSE(path.contains(path.ancestor(2)));
  EXPECT_EQ(printable("a\n\xff"), "a\\x0a\\xff");
}

// ---- records: bytes that must not change without a new schema version (docs/formats/metadata.md)

TEST(Records, KeepTheirGoldenBytes) {
  Inode inode;
  inode.id = InodeId{7};
  inode.type = FileType::directory;
  inode.length_bytes = 4096;
  inode.mode = 0755;
  inode.uid = 1000;
  inode.gid = 100;
  inode.link_count = 2;
  inode.mtime_ns = 1;
  inode.ctime_ns = -1;
  inode.version = "v1";
  inode.checked = Moment{3, 300};
  inode.load = DirectoryLoad{5, Moment{3, 200}, "v0", 9};
  EXPECT_EQ(hex(encode(inode)), "02018020ed03e807640202010276310003d8040503900302763009" "00" "00" "00");
  inode.atime_ns = -64;
  inode.allocated_bytes = 4096;
  EXPECT_EQ(hex(encode(inode)), "02018020ed03e807640202010276310003d8040503900302763009" "7f" "8120" "00");
  inode.type = FileType::other;
  inode.special = S_IFCHR;
  inode.device = 0x103;
  inode.allocated_bytes = 0;
  EXPECT_EQ(hex(encode(inode)), "02038020ed03e807640202010276310003d804" "7f" "01" "00" "8040" "8302");
  EXPECT_EQ(hex(encode(EntryRow{InodeId{300}, FileType::symlink, 1})), "0102ac0201");
  AttachmentRow row;
  row.id = AttachmentId{2};
  row.path = "/a";
  row.uri = "file:///d";
  row.attached_at_ns = 64;
  row.root = InodeId{2};
  EXPECT_EQ(hex(encode(row)), "0202022f610966696c653a2f2f2f64" "8094ebdc03" "8080808004" "808040" "000000" "8001" "02" "00");
  row.settings.store_options = {{"region", "eu"}};
  EXPECT_EQ(hex(encode(row)), "0202022f610966696c653a2f2f2f64" "8094ebdc03" "8080808004" "808040" "000000" "8001" "02"
                              "01" "06726567696f6e" "026575");
  EXPECT_EQ(hex(entry_key(InodeId{258}, "n")), "00000000000001026e");
  MoveRow move{.id = 7, .attachment = AttachmentId{2}, .from = "a", .to = "b/c"};
  move.phase = MoveRow::Phase::removing;
  move.onto = MoveRow::Onto::empty_directory;
  move.switched_at_ns = 64;
  EXPECT_EQ(hex(encode(move)), "01" "02" "0161" "03622f63" "02" "01" "8001");
  EXPECT_EQ(*decode_move(7, encode(move)), move);
  EXPECT_EQ(decode_move(7, encode(move) + "x").code(), Code::corrupt);
  EXPECT_EQ(hex(encode(PolicyRow{7, "x=1", 64, "a@b", "c", 2})), "0103783d31" "8001" "03614062" "0163" "02");
}

TEST(Records, ReadBackWhatWasWrittenAndRefuseEverythingElse) {
  Inode inode;
  inode.id = InodeId{9};
  inode.length_bytes = ~0ULL;
  inode.mtime_ns = INT64_MIN;
  inode.ctime_ns = INT64_MAX;
  inode.version = std::string(300, 'v');
  inode.symlink_target = "t";
  const std::string bytes = encode(inode);
  const Result<Inode> back = decode_inode(InodeId{9}, bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, inode);
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_EQ(decode_inode(InodeId{9}, bytes.substr(0, length)).code(), Code::corrupt) << length;
  }
  EXPECT_EQ(decode_inode(InodeId{9}, bytes + "x").code(), Code::corrupt);
  EXPECT_EQ(decode_inode(InodeId{9}, "\x03" + bytes.substr(1)).code(), Code::corrupt);
  EXPECT_EQ(decode_entry("\x01\x09\x01\x01").code(), Code::corrupt);  // no such file type
}

TEST(Records, ReadInodesOfBothFormats) {
  Inode inode;
  inode.id = InodeId{9};
  inode.version = "v";
  inode.checked = Moment{2, 5};
  inode.mtime_ns = 3;
  for (const FileType type : {FileType::regular, FileType::directory, FileType::symlink, FileType::other}) {
    inode.type = type;
    if (type == FileType::directory) inode.load = DirectoryLoad{5, Moment{3, 200}, "v0", 9};
    // As a master of schema 2 wrote it: format 01, and neither an access time nor what is on the disk.
    std::string old = encode(inode);
    old.front() = 1;
    old.resize(old.size() - (type == FileType::other ? 5 : 3));
    const Result<Inode> read = decode_inode(InodeId{9}, old);
    ASSERT_TRUE(read) << read.error().to_string();
    EXPECT_EQ(*read, inode);
    EXPECT_EQ(decode_inode(InodeId{9}, old + std::string(2, '\0')).code(), Code::corrupt) << "format 1 has no more";
    old.front() = 2;
    EXPECT_EQ(decode_inode(InodeId{9}, old).code(), Code::corrupt) << "format 2 has more";

    Inode full = inode;
    full.atime_ns = INT64_MIN;
    if (type == FileType::other) {
      full.special = S_IFSOCK;
      full.device = ~0ULL;
    }
    for (const std::optional<std::uint64_t> allocated : {std::optional<std::uint64_t>(), std::optional<std::uint64_t>(0)}) {
      full.allocated_bytes = allocated;
      EXPECT_EQ(*decode_inode(InodeId{9}, encode(full)), full) << "nothing allocated is not the same as not known";
    }
    inode.load = DirectoryLoad{};
  }
}

TEST(Records, ReadsAttachmentsWithAndWithoutStoreOptions) {
  AttachmentRow row;
  row.id = AttachmentId{2};
  row.path = "/a";
  row.uri = "s3://b/p";
  row.settings.store_options = {{"endpoint", "http://127.0.0.1:9000"}, {"region", ""}};
  const std::string bytes = encode(row);
  const Result<AttachmentRow> back = decode_attachment(bytes);
  ASSERT_TRUE(back) << back.error().to_string();
  EXPECT_EQ(*back, row);
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_EQ(decode_attachment(bytes.substr(0, length)).code(), Code::corrupt) << length;
  }
  EXPECT_EQ(decode_attachment("\x03" + bytes.substr(1)).code(), Code::corrupt);
  // As a master of schema 1 wrote it: format 01, and nothing after the root's id.
  row.settings.store_options.clear();
  std::string old = encode(row);
  old.front() = 1;
  old.pop_back();
  const Result<AttachmentRow> read = decode_attachment(old);
  ASSERT_TRUE(read) << read.error().to_string();
  EXPECT_EQ(*read, row);
}

// ---- attachments

AttachmentRow attached(std::uint32_t id, const std::string& path) {
  AttachmentRow row;
  row.id = AttachmentId{id};
  row.path = path;
  return row;
}

TEST(AttachmentTableTest, LongestPrefixWinsByComponentNotByText) {
  AttachmentTable table;
  table.add(attached(1, "/"));
  table.add(attached(2, "/a/b"));
  table.add(attached(3, "/a/b/c"));
  EXPECT_EQ(table.owner(path_of("/a/b/c/d"))->id.value, 3u);
  EXPECT_EQ(table.owner(path_of("/a/b/cc"))->id.value, 2u);
  EXPECT_EQ(table.owner(path_of("/a/bb"))->id.value, 1u);
  EXPECT_EQ(table.owner(path_of("/"))->id.value, 1u);
  EXPECT_TRUE(table.has_below(path_of("/a")));
  EXPECT_FALSE(table.has_below(path_of("/a/b/c")));
  EXPECT_EQ(table.names_below(path_of("/")), std::vector<std::string>{"a"});
  table.add(attached(4, "/a/b-x"));  // '-' sorts before '/': the tree of /a/b must stay one range
  EXPECT_EQ(table.names_below(path_of("/a")), (std::vector<std::string>{"b", "b-x"}));
  EXPECT_EQ(table.first_below(path_of("/a/b")), "/a/b/c");
}

// ---- the tree

class NamespaceTest : public ::testing::Test {
 protected:
  void SetUp() override { open(); }
  void open() {
    tree_.reset();
    Result<std::unique_ptr<Namespace>> opened = Namespace::open(store_, 42);
    ASSERT_TRUE(opened) << opened.error().to_string();
    tree_ = std::move(*opened);
  }
  Moment now() { return tree_->next_moment(TimePoint(std::chrono::seconds(1))); }
  AttachmentRow attach(const std::string& path) {
    AttachmentRow wanted;
    wanted.path = path;
    wanted.uri = "sim://" + path;
    Result<AttachmentRow> row = tree_->attach(wanted, directory("", "r"), now());
    EXPECT_TRUE(row) << row.error().to_string();
    return row ? *row : AttachmentRow();
  }
  Inode put(InodeId parent, const ObjectInfo& object) {
    Result<Inode> inode = tree_->upsert(parent, object.name, object, now());
    EXPECT_TRUE(inode) << inode.error().to_string();
    return inode ? *inode : Inode();
  }
  std::vector<std::string> names(InodeId parent) {
    std::vector<std::string> out;
    const Result<std::vector<Child>> children = tree_->children(parent, "", 1000);
    EXPECT_TRUE(children);
    for (const Child& child : *children) out.push_back(child.name);
    return out;
  }
  void load(InodeId parent, const std::vector<ObjectInfo>& objects) {
    Result<LoadProgress> progress = tree_->begin_load(parent, "v", now());
    ASSERT_TRUE(progress);
    ASSERT_TRUE(tree_->load_batch(*progress, objects, now()));
    finish(*progress);
  }
  void finish(LoadProgress& progress) {
    for (;;) {
      const Result<Namespace::Sweep> swept = tree_->sweep(progress, 2);
      ASSERT_TRUE(swept);
      if (*swept == Namespace::Sweep::done) break;
    }
    ASSERT_TRUE(tree_->finish_load(progress));
  }

  MemoryMetaStore store_;
  std::unique_ptr<Namespace> tree_;
};

TEST_F(NamespaceTest, AChangedVersionKeepsTheInodeIdAndAnotherObjectDoesNot) {
  const InodeId root = attach("/a").root;
  const Inode first = put(root, file("f", "l1-10-1-5"));
  EXPECT_EQ(put(root, file("f", "l1-10-2-6")).id, first.id);
  const Inode replaced = put(root, file("f", "l1-11-2-6"));
  EXPECT_NE(replaced.id, first.id);
  EXPECT_NE(put(root, directory("f", "l1-11-2-6")).id, replaced.id);
}

TEST_F(NamespaceTest, AnAnswerToAnOlderQuestionChangesNothing) {
  const InodeId root = attach("/a").root;
  const Moment early = now();
  const Inode current = put(root, file("f", "l1-10-2-6"));
  const Result<Inode> late = tree_->upsert(root, "f", file("f", "l1-10-1-5"), early);
  ASSERT_TRUE(late);
  EXPECT_EQ(late->version, current.version);
  ASSERT_TRUE(tree_->remove(root, "f", early));
  EXPECT_EQ(names(root), std::vector<std::string>{"f"});
  ASSERT_TRUE(tree_->remove(root, "f", now()));
  EXPECT_TRUE(names(root).empty());
}

TEST_F(NamespaceTest, ALoadAddsUpdatesAndRemoves) {
  const InodeId root = attach("/a").root;
  load(root, {file("a", "l1-1-1-1"), file("b", "l1-2-1-1"), file("c", "l1-3-1-1")});
  EXPECT_EQ(names(root), (std::vector<std::string>{"a", "b", "c"}));
  load(root, {file("b", "l1-2-2-1"), file("d", "l1-4-1-1")});
  EXPECT_EQ(names(root), (std::vector<std::string>{"b", "d"}));
  const Result<Inode> inode = tree_->inode(root);
  EXPECT_EQ(inode->load.entries, 2u);
  const Result<std::optional<Child>> child = tree_->child(root, "b");
  EXPECT_EQ((*child)->inode.version, "l1-2-2-1");
}

TEST_F(NamespaceTest, WhatWasAskedDuringALoadWinsOverTheLoad) {
  const InodeId root = attach("/a").root;
  Result<LoadProgress> progress = tree_->begin_load(root, "v", now());
  ASSERT_TRUE(progress);
  const Moment batch_asked = now();
  put(root, file("new", "l1-9-1-1"));                                  // made after the listing passed its place
  ASSERT_TRUE(tree_->remove(root, "gone", now()));                     // removed after the listing saw it
  ASSERT_TRUE(tree_->load_batch(*progress, {file("gone", "l1-1-1-1"), file("kept", "l1-2-1-1")}, batch_asked));
  finish(*progress);
  EXPECT_EQ(names(root), (std::vector<std::string>{"kept", "new"}));
}

TEST_F(NamespaceTest, ALoadOfAReplacedDirectoryIsRefusedAndLeavesNothingBehind) {
  const InodeId root = attach("/a").root;
  const Inode old = put(root, directory("d", "l1-5-1-1"));
  Result<LoadProgress> progress = tree_->begin_load(old.id, "v", now());
  ASSERT_TRUE(progress);
  ASSERT_TRUE(tree_->load_batch(*progress, {file("x", "l1-6-1-1")}, now()));
  const Inode replaced = put(root, directory("d", "l1-7-1-1"));
  EXPECT_NE(replaced.id, old.id);
  EXPECT_EQ(tree_->load_batch(*progress, {file("y", "l1-8-1-1")}, now()).code(), Code::stale);
  tree_->abandon_load(*progress);
  EXPECT_TRUE(names(replaced.id).empty());
  Result<Namespace::Sweep> reaped = Namespace::Sweep::more;
  while (reaped && *reaped == Namespace::Sweep::more) reaped = tree_->reap(1);
  ASSERT_TRUE(reaped);
  EXPECT_EQ(store_.approximate_count(Family::entry), 1u);
  EXPECT_EQ(store_.approximate_count(Family::inode), 2u);
  EXPECT_EQ(tree_->inode_count(), 2u);
}

TEST_F(NamespaceTest, ReapingGoesOnAfterARestart) {
  const InodeId root = attach("/a").root;
  const Inode d = put(root, directory("d", "l1-5-1-1"));
  for (int i = 0; i < 10; ++i) {
    const Inode sub = put(d.id, directory("s" + std::to_string(i), "l1-" + std::to_string(20 + i) + "-1-1"));
    put(sub.id, file("f", "l1-99-1-1"));
  }
  ASSERT_TRUE(tree_->remove(root, "d", now()));
  ASSERT_TRUE(tree_->reap(3));
  open();
  EXPECT_TRUE(tree_->has_orphans());
  Result<Namespace::Sweep> reaped = Namespace::Sweep::more;
  while (reaped && *reaped == Namespace::Sweep::more) reaped = tree_->reap(3);
  EXPECT_EQ(store_.approximate_count(Family::entry), 0u);
  EXPECT_EQ(store_.approximate_count(Family::inode), 1u);
}

TEST_F(NamespaceTest, NeverHandsOutAnInodeIdTwiceEvenWhenTheUnsyncedRestIsLost) {
  std::set<std::uint64_t> seen;
  const InodeId root = attach("/a").root;
  ASSERT_TRUE(store_.sync());
  seen.insert(root.value);
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 5; ++i) {
      const std::string name = std::to_string(round) + "-" + std::to_string(i);
      EXPECT_TRUE(seen.insert(put(root, file(name, "")).id.value).second) << name;
    }
    store_.lose_unsynced();
    open();
  }
}

TEST_F(NamespaceTest, RefusesAnotherSchemaVersionWithASentence) {
  WriteBatch batch;
  batch.put(Family::meta, std::string(meta_keys::schema), number_key(metadata_schema_version + 1));
  ASSERT_TRUE(store_.write(batch));
  const Result<std::unique_ptr<Namespace>> opened = Namespace::open(store_, 1);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.code(), Code::version_mismatch);
  EXPECT_NE(opened.error().message().find("start the version"), std::string::npos);
}

TEST_F(NamespaceTest, OpensAStoreOfTheOldSchemaAndRaisesIt) {
  WriteBatch batch;
  batch.put(Family::meta, std::string(meta_keys::schema), number_key(oldest_schema_version));
  ASSERT_TRUE(store_.write(batch));
  open();
  const Result<std::optional<std::string>> schema = store_.get(Family::meta, meta_keys::schema);
  ASSERT_TRUE(schema && schema->has_value());
  EXPECT_EQ(**schema, number_key(metadata_schema_version));
}

TEST_F(NamespaceTest, AFailedWriteChangesNothingInMemoryEither) {
  attach("/a");
  store_.fail_next(Error(Code::no_space, "full"));
  AttachmentRow wanted;
  wanted.path = "/b/c";
  EXPECT_EQ(tree_->attach(wanted, directory("", "r"), now()).code(), Code::no_space);
  EXPECT_EQ(tree_->attachments().size(), 1u);
  EXPECT_EQ(tree_->virtual_inode("/b"), root_inode);
}

TEST_F(NamespaceTest, TrimmingForgetsFilesNobodyAskedAboutAndTheirDirectoryCountsAsNotLoaded) {
  const InodeId root = attach("/a").root;
  const Inode d = put(root, directory("d", "l1-5-1-1"));
  load(d.id, {file("old1", "l1-6-1-1"), file("old2", "l1-7-1-1"), file("kept", "l1-8-1-1")});
  const Moment horizon = now();
  put(d.id, file("kept", "l1-8-1-1"));
  std::string cursor;
  Result<Namespace::Sweep> trimmed = Namespace::Sweep::more;
  while (trimmed && *trimmed == Namespace::Sweep::more) trimmed = tree_->trim(cursor, 2, horizon);
  ASSERT_TRUE(trimmed);
  EXPECT_EQ(names(d.id), std::vector<std::string>{"kept"});
  EXPECT_EQ(tree_->inode(d.id)->load.generation, 0u);
  const Result<MetadataSummary> checked = check_metadata(store_);
  ASSERT_TRUE(checked) << checked.error().to_string();
  EXPECT_EQ(checked->inodes, 3u);
}

TEST_F(NamespaceTest, TheCheckFindsWhatMustNotBe) {
  const InodeId root = attach("/a").root;
  const Inode f = put(root, file("f", "l1-6-1-1"));
  ASSERT_TRUE(check_metadata(store_));
  WriteBatch broken;
  broken.erase(Family::inode, number_key(f.id.value));
  ASSERT_TRUE(store_.write(broken));
  const Result<MetadataSummary> checked = check_metadata(store_);
  EXPECT_EQ(checked.code(), Code::corrupt);
  EXPECT_NE(checked.error().message().find("missing inode"), std::string::npos);
}

// ---- both stores behave the same

TEST(MetaStores, ScanInByteOrderWithinAPrefix) {
  TemporaryDirectory where;
  RocksdbOptions options;
  options.directory = (where / "db").string();
  Result<std::unique_ptr<MetaStore>> rocks = open_rocksdb_meta_store(options);
  ASSERT_TRUE(rocks) << rocks.error().to_string();
  MemoryMetaStore memory;
  WriteBatch batch;
  const std::vector<std::string> prefixes{std::string(8, '\xff'), number_key(1), number_key(2)};
  for (const std::string& prefix : prefixes) {
    for (const char* name : {"a", "b", "\xff", "\xff\xff"}) batch.put(Family::entry, prefix + name, name);
  }
  std::vector<std::vector<Row>> answers;
  for (MetaStore* store : std::initializer_list<MetaStore*>{rocks->get(), &memory}) {
    ASSERT_TRUE(store->write(batch));
    for (const std::string& prefix : prefixes) {
      for (const std::string& after : {std::string(), prefix + "a", prefix + "\xff"}) {
        const Result<std::vector<Row>> rows = store->scan(Family::entry, prefix, after, 2);
        ASSERT_TRUE(rows);
        answers.push_back(*rows);
      }
    }
  }
  ASSERT_EQ(answers.size(), 18u);
  for (std::size_t i = 0; i < 9; ++i) EXPECT_EQ(answers[i], answers[i + 9]) << i;
  EXPECT_EQ(answers[0].size(), 2u);
  EXPECT_EQ(answers[2].size(), 1u);
}

}  // namespace
}  // namespace hearth::master
