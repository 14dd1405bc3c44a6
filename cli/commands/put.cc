// put: copies a file, a tree or standard input of this host into the namespace. cp: the same within the namespace.
#include "cli/commands/commands.h"
#include "cli/commands/tree_jobs.h"
#include "cli/commands/tree_writer.h"
#include "common/fd.h"
#include "common/file_io.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace hearth::cli {
namespace {

Error not_read(const std::string& path) {
  const int number = errno;
  return Error(code_from_errno(number), path + " cannot be read: " + std::strerror(number)).with_error_number(number);
}

FileStatus status_of(const struct stat& info) {
  FileStatus status;
  status.type = S_ISREG(info.st_mode)   ? EntryType::regular
                : S_ISDIR(info.st_mode) ? EntryType::directory
                : S_ISLNK(info.st_mode) ? EntryType::symlink
                                        : EntryType::other;
  status.length_bytes = static_cast<std::uint64_t>(info.st_size);
  status.mode = info.st_mode & 07777U;
  status.mtime_ns = info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec;
  return status;
}

// Files of this host, as a job walks them.
class LocalTree final : public Tree {
 public:
  // What is named is followed, what lies below is not.
  Result<FileStatus> stat(const std::string& path) const override {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return not_read(path);
    return status_of(info);
  }
  Status list(const std::string& path, const std::function<void(DirectoryItem)>& take) const override {
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
    if (!directory) return not_read(path);
    errno = 0;
    while (const dirent* entry = ::readdir(directory.get())) {
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      struct stat info {};
      const std::string below = join_path(path, name);
      if (::lstat(below.c_str(), &info) != 0) {
        if (errno != ENOENT) return not_read(below);  // else it went away meanwhile
        errno = 0;
        continue;
      }
      DirectoryItem item{.name = name, .status = status_of(info)};
      if (item.status.type == EntryType::symlink) {
        TRY(target, read_link(below));
        item.status.symlink_target = std::move(target);
      }
      take(std::move(item));
      errno = 0;
    }
    return errno == 0 ? ok() : Status(not_read(path));
  }

 private:
  static Result<std::string> read_link(const std::string& path) {
    std::string target(4096, '\0');
    const ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
    if (length < 0) return not_read(path);
    target.resize(static_cast<std::size_t>(length));
    return target;
  }
};

Status put_file(TreeWriter& writer, const TreeEntry& entry, const std::string& destination) {
  const UniqueFd source(::open(entry.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  struct stat info {};
  if (!source || ::fstat(source.get(), &info) != 0) return not_read(entry.path);
  const TreeWriter::Read read = [&](std::span<std::byte> into, std::uint64_t offset) {
    return read_at(source.get(), into, offset, entry.path);
  };
  return writer.file(destination, status_of(info), read);
}

Status put_standard_input(TreeWriter& writer, const std::string& destination) {
  FileStatus status;
  status.mode = 0666;
  status.mtime_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  const TreeWriter::Read read = [](std::span<std::byte> into, std::uint64_t) -> Result<std::size_t> {
    for (;;) {
      const ssize_t count = ::read(STDIN_FILENO, into.data(), into.size());
      if (count >= 0) return static_cast<std::size_t>(count);
      if (errno != EINTR) return not_read("standard input");
    }
  };
  return writer.file(destination, status, read);
}

Status copy_within(const Client& client, TreeWriter& writer, const TreeEntry& entry, const std::string& destination) {
  TRY(file, client.open(entry.path));
  const std::uint64_t length = file.status().length_bytes;
  const TreeWriter::Read read = [&](std::span<std::byte> into, std::uint64_t offset) -> Result<std::size_t> {
    TRY(count, file.pread(into, offset));
    if (count == 0 && offset < length) return Error(Code::stale, entry.path + " became shorter while it was read; copy it again");
    return count;
  };
  return writer.file(destination, file.status(), read);
}

// Where `name` goes: into an existing directory, else to `given` itself, whose directory must be there.
Result<std::string> place_in_namespace(const Client& client, const std::string& given, std::string_view name) {
  std::string target = tidy_path(given);
  const Result<FileStatus> there = client.stat(target);
  if (there && there->type == EntryType::directory) {
    if (name.empty()) return Error(Code::is_directory, target + " is a directory; name a file in it");
    return join_path(target, name);
  }
  if (!there && there.code() != Code::not_found) return there.error();
  const std::string parent = target.substr(0, std::max<std::size_t>(target.find_last_of('/'), 1));
  const Result<FileStatus> above = client.stat(parent);
  if (above) return target;
  if (above.code() != Code::not_found) return above.error();
  return Error(Code::not_found, parent + " does not exist; make it with hearth mkdir -p " + parent);
}

std::string_view local_name(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  const std::string_view name = base_name(path);
  return name == "." || name == ".." || name == "/" ? std::string_view() : name;
}

struct Copying {
  const Tree& tree;
  std::string source;
  std::string target;
  std::function<Status(TreeWriter& writer, const TreeEntry& entry, const std::string& destination)> copy_file;
};

Result<Exit> run_copy(Context& context, const Client& client, const FileStatus& root, const Copying& copying) {
  const auto preserve = context.words().has("preserve") ? TreeWriter::Preserve::yes : TreeWriter::Preserve::no;
  Progress progress("copying", progress_style(context));
  TreeWriter writer(client, preserve, progress);
  const auto place = [&](const TreeEntry& entry) {
    return entry.below.empty() ? copying.target : join_path(copying.target, entry.below);
  };
  TreeJob job{.roots = {copying.source}, .jobs = context.words().count("jobs").value_or(8), .want_symlinks = true};
  job.on_directory = [&](const TreeEntry& entry) { return writer.directory(place(entry), entry.status); };
  job.on_file = [&](const TreeEntry& entry) {
    if (entry.status.type == EntryType::symlink) return writer.link(place(entry), entry.status.symlink_target);
    return copying.copy_file(writer, entry, place(entry));
  };
  const TreeResult result = run_tree_job(copying.tree, job, progress);
  writer.finish(context.out());
  progress.stop();
  return report_copy(context, result, progress.figures(), {copying.source, copying.target, root.type});
}

Error is_a_tree(const std::string& path, std::string_view command) {
  return Error(Code::is_directory, path + " is a directory; use hearth " + std::string(command) + " -r to copy all below it");
}

}  // namespace

Result<Exit> run_put(Context& context) {
  TRY(client, context.connect_to_change());
  const std::string& source = context.arguments()[0];
  const LocalTree tree;
  if (source == "-") {
    TRY(target, place_in_namespace(client, context.arguments()[1], ""));
    Progress progress("copying", progress_style(context));
    TreeWriter writer(client, TreeWriter::Preserve::no, progress);
    const Status written = put_standard_input(writer, target);
    progress.stop();
    if (!written) return written.error();
    TreeResult one;
    one.files = 1;
    return report_copy(context, one, progress.figures(), {source, target, EntryType::regular});
  }
  TRY(root, tree.stat(source));
  if (root.type == EntryType::directory && !context.words().has("recursive")) return is_a_tree(source, "put");
  if (root.type == EntryType::other) return Error(Code::unsupported, source + " is neither a file nor a directory; give - and redirect standard input");
  TRY(target, place_in_namespace(client, context.arguments()[1], local_name(source)));
  return run_copy(context, client, root, {tree, source, target, put_file});
}

Result<Exit> run_cp(Context& context) {
  TRY(client, context.connect_to_change());
  const std::string source = tidy_path(context.arguments()[0]);
  TRY(root, client.stat(source));
  if (root.type == EntryType::directory && !context.words().has("recursive")) return is_a_tree(source, "cp");
  TRY(target, place_in_namespace(client, context.arguments()[1], base_name(source)));
  if (target == source || target.starts_with(source == "/" ? source : source + "/")) {
    return Error(Code::invalid_argument, source + " can not be copied into itself, to " + target);
  }
  const ClientTree tree(client);
  return run_copy(context, client, root, {tree, source, target, [&](TreeWriter& writer, const TreeEntry& entry, const std::string& destination) {
                                            return copy_within(client, writer, entry, destination);
                                          }});
}

}  // namespace hearth::cli
