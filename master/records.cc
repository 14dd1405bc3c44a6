#include "master/records.h"

#include <limits>

namespace hearth::master {

namespace {

constexpr char record_format = 1;
constexpr char inode_format = 2;       // 1 had no access time, no kind of special file, no attributes of its own
constexpr char attachment_format = 2;  // 1 had no store options
constexpr std::size_t max_store_options = 64;

class Writer {
 public:
  explicit Writer(char format = record_format) { out_.push_back(format); }
  void number(std::uint64_t value) {
    while (value >= 0x80) {
      out_.push_back(static_cast<char>((value & 0x7f) | 0x80));
      value >>= 7;
    }
    out_.push_back(static_cast<char>(value));
  }
  // Zigzag: small magnitudes of either sign are short.
  void signed_number(std::int64_t value) {
    number((static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63));
  }
  void bytes(std::string_view value) {
    number(value.size());
    out_.append(value);
  }
  void moment(const Moment& value) {
    number(value.run);
    signed_number(value.ns);
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

// Reads to the end or to the first fault; after a fault everything reads as zero and finish() tells.
class Reader {
 public:
  explicit Reader(std::string_view in, char newest = record_format) : in_(in) {
    if (in_.empty() || in_.front() < 1 || in_.front() > newest) {
      good_ = false;
    } else {
      format_ = in_.front();
      in_.remove_prefix(1);
    }
  }
  char format() const { return format_; }
  std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && !in_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(in_.front());
      in_.remove_prefix(1);
      if (shift == 63 && byte > 1) break;  // more than 64 bits
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    good_ = false;
    return 0;
  }
  std::uint64_t at_most(std::uint64_t limit) {
    const std::uint64_t value = number();
    if (value > limit) good_ = false;
    return good_ ? value : 0;
  }
  std::uint32_t small_number() {
    const std::uint64_t value = number();
    if (value > std::numeric_limits<std::uint32_t>::max()) good_ = false;
    return static_cast<std::uint32_t>(value);
  }
  std::int64_t signed_number() {
    const std::uint64_t value = number();
    return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
  }
  std::string bytes() {
    const std::uint64_t length = number();
    if (length > in_.size()) {
      good_ = false;
      return {};
    }
    std::string value(in_.substr(0, length));
    in_.remove_prefix(length);
    return value;
  }
  template <class Enum>
  Enum choice(Enum last) {
    const std::uint64_t value = number();
    if (value > static_cast<std::uint64_t>(last)) good_ = false;
    return static_cast<Enum>(value);
  }
  Moment moment() {
    Moment value;
    value.run = number();
    value.ns = signed_number();
    return value;
  }
  Status finish(const std::string& what) const {
    if (good_ && in_.empty()) return ok();
    return Error(Code::corrupt, what + " in the metadata store is not a record of a known format; restore the data directory from a copy");
  }

 private:
  std::string_view in_;
  char format_ = 0;
  bool good_ = true;
};

}  // namespace

std::string encode(const Inode& inode) {
  Writer out(inode_format);
  out.number(static_cast<std::uint64_t>(inode.type));
  out.number(inode.length_bytes);
  out.number(inode.mode);
  out.number(inode.uid);
  out.number(inode.gid);
  out.number(inode.link_count);
  out.signed_number(inode.mtime_ns);
  out.signed_number(inode.ctime_ns);
  out.bytes(inode.version);
  out.bytes(inode.symlink_target);
  out.moment(inode.checked);
  if (inode.type == FileType::directory) {
    out.number(inode.load.generation);
    out.moment(inode.load.at);
    out.bytes(inode.load.version);
    out.number(inode.load.entries);
  }
  out.signed_number(inode.atime_ns);
  out.number(inode.allocated_bytes ? *inode.allocated_bytes + 1 : 0);
  out.number(inode.keeps_attributes ? 1 : 0);
  if (inode.type == FileType::other) {
    out.number(inode.special);
    out.number(inode.device);
  }
  return out.take();
}

Result<Inode> decode_inode(InodeId id, std::string_view record) {
  Reader in(record, inode_format);
  Inode inode;
  inode.id = id;
  inode.type = in.choice(FileType::other);
  inode.length_bytes = in.number();
  inode.mode = in.small_number();
  inode.uid = in.small_number();
  inode.gid = in.small_number();
  inode.link_count = in.small_number();
  inode.mtime_ns = in.signed_number();
  inode.ctime_ns = in.signed_number();
  inode.version = in.bytes();
  inode.symlink_target = in.bytes();
  inode.checked = in.moment();
  if (inode.type == FileType::directory) {
    inode.load.generation = in.number();
    inode.load.at = in.moment();
    inode.load.version = in.bytes();
    inode.load.entries = in.number();
  }
  if (in.format() > 1) {
    inode.atime_ns = in.signed_number();
    const std::uint64_t allocated = in.number();
    if (allocated != 0) inode.allocated_bytes = allocated - 1;
    inode.keeps_attributes = in.at_most(1) != 0;
    if (inode.type == FileType::other) {
      inode.special = in.small_number();
      inode.device = in.number();
    }
  }
  CHECK_OK(in.finish("inode " + std::to_string(id.value)));
  return inode;
}

std::string encode(const EntryRow& entry) {
  Writer out;
  out.number(static_cast<std::uint64_t>(entry.type));
  out.number(entry.child.value);
  out.number(entry.generation);
  return out.take();
}

Result<EntryRow> decode_entry(std::string_view record) {
  Reader in(record);
  EntryRow entry;
  entry.type = in.choice(FileType::other);
  entry.child = InodeId{in.number()};
  entry.generation = in.number();
  CHECK_OK(in.finish("a directory entry"));
  return entry;
}

std::string encode(const AttachmentRow& attachment) {
  Writer out(attachment_format);
  out.number(attachment.id.value);
  out.bytes(attachment.path);
  out.bytes(attachment.uri);
  out.number(static_cast<std::uint64_t>(attachment.settings.metadata_ttl.count()));
  out.number(attachment.settings.block_size_bytes);
  out.number(attachment.settings.page_size_bytes);
  out.number(static_cast<std::uint64_t>(attachment.settings.writing));
  out.number(static_cast<std::uint64_t>(attachment.settings.serve_stale));
  out.number(static_cast<std::uint64_t>(attachment.settings.placement));
  out.signed_number(attachment.attached_at_ns);
  out.number(attachment.root.value);
  out.number(attachment.settings.store_options.size());
  for (const auto& [name, value] : attachment.settings.store_options) {
    out.bytes(name);
    out.bytes(value);
  }
  return out.take();
}

Result<AttachmentRow> decode_attachment(std::string_view record) {
  Reader in(record, attachment_format);
  AttachmentRow row;
  row.id = AttachmentId{in.small_number()};
  row.path = in.bytes();
  row.uri = in.bytes();
  row.settings.metadata_ttl = Duration(static_cast<std::int64_t>(in.number()));
  row.settings.block_size_bytes = in.number();
  row.settings.page_size_bytes = in.small_number();
  row.settings.writing = in.choice(AttachmentSettings::Writing::refused);
  row.settings.serve_stale = in.choice(AttachmentSettings::ServeStale::never);
  row.settings.placement = in.choice(AttachmentSettings::Placement::hash);
  row.attached_at_ns = in.signed_number();
  row.root = InodeId{in.number()};
  if (in.format() >= 2) {
    const std::uint64_t options = in.at_most(max_store_options);
    for (std::uint64_t i = 0; i < options; ++i) {
      std::string name = in.bytes();
      row.settings.store_options[std::move(name)] = in.bytes();
    }
  }
  CHECK_OK(in.finish("attachment " + std::to_string(row.id.value)));
  return row;
}

std::string encode(const MoveRow& move) {
  Writer out;
  out.number(move.attachment.value);
  out.bytes(move.from);
  out.bytes(move.to);
  out.number(static_cast<std::uint64_t>(move.phase));
  out.number(static_cast<std::uint64_t>(move.onto));
  out.signed_number(move.switched_at_ns);
  return out.take();
}

Result<MoveRow> decode_move(std::uint64_t id, std::string_view record) {
  Reader in(record);
  MoveRow row;
  row.id = id;
  row.attachment = AttachmentId{in.small_number()};
  row.from = in.bytes();
  row.to = in.bytes();
  row.phase = in.choice(MoveRow::Phase::removing);
  row.onto = in.choice(MoveRow::Onto::empty_directory);
  row.switched_at_ns = in.signed_number();
  CHECK_OK(in.finish("move " + std::to_string(id)));
  return row;
}

std::string encode(const PolicyRow& policy) {
  Writer out;
  out.bytes(policy.text);
  out.signed_number(policy.applied_at_ns);
  out.bytes(policy.by);
  out.bytes(policy.comment);
  out.number(policy.restored_from);
  return out.take();
}

Result<PolicyRow> decode_policy(std::uint64_t version, std::string_view record) {
  Reader in(record);
  PolicyRow row;
  row.version = version;
  row.text = in.bytes();
  row.applied_at_ns = in.signed_number();
  row.by = in.bytes();
  row.comment = in.bytes();
  row.restored_from = in.number();
  CHECK_OK(in.finish("policy version " + std::to_string(version)));
  return row;
}

std::string number_key(std::uint64_t number) {
  std::string key(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) key[i] = static_cast<char>(number >> (56 - 8 * i));
  return key;
}

Result<std::uint64_t> number_from_key(std::string_view key) {
  if (key.size() != 8) {
    return Error(Code::corrupt, "a number in the metadata store has " + std::to_string(key.size()) +
                                    " bytes instead of 8; restore the data directory from a copy");
  }
  std::uint64_t number = 0;
  for (const char c : key) number = (number << 8) | static_cast<unsigned char>(c);
  return number;
}

std::string entry_key(InodeId parent, std::string_view name) {
  std::string key = number_key(parent.value);
  key.append(name);
  return key;
}

Inode inode_from_object(const ObjectInfo& object, Moment checked) {
  Inode inode;
  inode.type = object.type;
  inode.length_bytes = object.length_bytes;
  inode.mode = object.mode;
  inode.uid = object.uid;
  inode.gid = object.gid;
  inode.link_count = object.link_count;
  inode.mtime_ns = object.mtime_ns;
  inode.ctime_ns = object.ctime_ns;
  inode.atime_ns = object.atime_ns;
  inode.special = object.special;
  inode.device = object.device;
  inode.allocated_bytes = object.allocated_bytes;
  inode.version = object.version;
  inode.symlink_target = object.symlink_target;
  inode.checked = checked;
  return inode;
}

void keep_attributes(const Inode& known, Inode& fresh) {
  if (!known.keeps_attributes || known.type != fresh.type) return;
  if (known.type != FileType::directory && known.version != fresh.version) return;
  fresh.keeps_attributes = true;
  fresh.mode = known.mode;
  fresh.uid = known.uid;
  fresh.gid = known.gid;
  fresh.mtime_ns = known.mtime_ns;
  fresh.ctime_ns = known.ctime_ns;
  fresh.atime_ns = known.atime_ns;
}

bool same_attributes(const Inode& a, const Inode& b) {
  return a.type == b.type && a.length_bytes == b.length_bytes && a.mode == b.mode && a.uid == b.uid &&
         a.gid == b.gid && a.link_count == b.link_count && a.mtime_ns == b.mtime_ns && a.ctime_ns == b.ctime_ns &&
         a.atime_ns == b.atime_ns && a.keeps_attributes == b.keeps_attributes && a.special == b.special && a.device == b.device && a.allocated_bytes == b.allocated_bytes && a.version == b.version && a.symlink_target == b.symlink_target;
}

}  // namespace hearth::master
