#include "cli/commands/tree_writer.h"

#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace hearth::cli {
namespace {

constexpr std::size_t write_piece_bytes = 4U << 20;

// Of two hosts that write into one directory at once, too.
std::string random_mark() {
  std::uint64_t number = 0;
  if (::getrandom(&number, sizeof number, 0) != sizeof number) number = static_cast<std::uint64_t>(::getpid());
  return hex_id(number);
}

timespec to_time(std::int64_t time_ns) {
  constexpr std::int64_t second_ns = 1'000'000'000;
  const std::int64_t rest = (time_ns % second_ns + second_ns) % second_ns;
  return {static_cast<time_t>((time_ns - rest) / second_ns), static_cast<long>(rest)};
}

Error attributes_error(const std::string& path) {
  const int number = errno;
  return Error(code_from_errno(number), path + " cannot be given its mode and time: " + std::strerror(number)).with_error_number(number);
}

// The name beside is nobody's business.
Error named(Error error, const std::string& beside, const std::string& path) {
  std::string message = error.message();
  const std::string hidden(base_name(beside));
  const std::string shown(base_name(path));
  for (std::size_t at = 0; (at = message.find(hidden, at)) != std::string::npos; at += shown.size()) {
    message.replace(at, hidden.size(), shown);
  }
  return Error(error.code(), std::move(message)).with_error_number(error.error_number());
}

}  // namespace

TreeWriter::TreeWriter(Client client, Preserve preserve, Progress& progress)
    : client_(std::move(client)), preserve_(preserve), progress_(progress), mark_(random_mark()) {}

// Not made from the name of the file, which may be 255 bytes long already.
std::string TreeWriter::name_beside(const std::string& path) {
  return path.substr(0, path.find_last_of('/') + 1) + ".hearth-put-" + mark_ + "-" + std::to_string(counter_++);
}

Status TreeWriter::fill(WritableFile& file, const FileStatus& from, const Read& read, const std::string& path) {
  std::vector<std::byte> piece(write_piece_bytes);
  for (std::uint64_t offset = 0;;) {
    TRY(count, read(piece, offset));
    if (count == 0) break;
    CHECK_OK(file.pwrite(std::span(piece).first(count), offset));
    offset += count;
    progress_.add_bytes(count);
  }
  // What has not got a place yet has the attributes of its descriptor, in a staged copy and in place.
  const bool kept = preserve_ == Preserve::yes;
  const mode_t mode = kept ? from.mode & 07777U : from.mode & 0777U & ~caller_.umask;
  if ((kept || file.is_staged()) && ::fchmod(file.fd(), mode) != 0) return attributes_error(path);
  const timespec times[2] = {{0, UTIME_NOW}, to_time(from.mtime_ns)};
  if (kept && ::futimens(file.fd(), times) != 0) return attributes_error(path);
  return ok();
}

Status TreeWriter::place(const std::string& beside, const std::string& path) {
  const Change rename = Rename{.from = beside, .to = path, .target = Rename::Target::replace};
  CHECK_OK(client_.change(rename, caller_));
  return ok();
}

Status TreeWriter::file(const std::string& path, const FileStatus& from, const Read& read) {
  const std::string beside = name_beside(path);
  OpenForWriting how;
  how.path = beside;
  how.create = true;
  how.exclusive = true;
  how.mode = from.mode & 0777U;
  how.without_content = true;
  Result<WritableFile> opened = client_.open_for_writing(how, caller_);
  if (!opened) return named(std::move(opened).error(), beside, path);
  const bool staged = opened->is_staged();
  Status done = fill(*opened, from, read, path);
  if (done && staged) {
    Result<FileStatus> published = opened->publish(path);
    if (!published) done = std::move(published).error();
  }
  if (done && !staged) {
    Result<FileStatus> closed = opened->close();
    if (!closed) done = std::move(closed).error();
  }
  if (done && !staged) done = place(beside, path);
  if (opened->usable()) static_cast<void>(opened->abort());  // a staged copy that is published is not needed any more
  if (done) return ok();
  if (!staged) static_cast<void>(client_.change(RemoveFile{.path = beside}, caller_));
  return named(std::move(done).error(), beside, path);
}

Status TreeWriter::link(const std::string& path, const std::string& target) {
  const std::string beside = name_beside(path);
  Result<Changed> made = client_.change(MakeSymlink{.path = beside, .target = target}, caller_);
  if (!made) return named(std::move(made).error(), beside, path);
  Status placed = place(beside, path);
  if (placed) return ok();
  static_cast<void>(client_.change(RemoveFile{.path = beside}, caller_));
  return named(std::move(placed).error(), beside, path);
}

Status TreeWriter::directory(const std::string& path, const FileStatus& from) {
  constexpr std::uint32_t of_its_owner = 0700;  // to write into it
  const MakeDirectory make{.path = path, .mode = (from.mode & 0777U) | of_its_owner};
  Result<Changed> made = client_.change(make, caller_);
  if (!made) {
    // A root of the namespace, or of an attachment, can not be made, and is there.
    const Result<FileStatus> there = client_.stat(path);
    if (!there || there->type != EntryType::directory) return std::move(made).error();
  }
  if (preserve_ == Preserve::yes) directories_.emplace_back(path, from);
  return ok();
}

void TreeWriter::finish(Output& out) {
  for (auto it = directories_.rbegin(); it != directories_.rend(); ++it) {
    SetAttributes set;
    set.path = it->first;
    set.mode = it->second.mode & 07777U;
    set.mtime = SetAttributes::Time{.now = false, .ns = it->second.mtime_ns};
    const Result<Changed> given = client_.change(set, caller_);
    if (!given) out.complaint(given.error());
  }
}

}  // namespace hearth::cli
