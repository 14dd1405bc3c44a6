#include "understore/as_caller.h"

#include "understore/local_files.h"
#include "understore/store_path.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>

namespace hearth {
namespace {

// In a resolution EXDEV is the kernel's word for a way out; of rename and link it is another file system.
int resolve_errno() { return errno == EXDEV ? leads_outside : errno; }

}  // namespace

int find_entry(const ConfinedRoot& root, const std::string& path, Entry& entry) {
  SplitPath split = split_store_path(path);
  entry.name = std::move(split.name);
  entry.directory = root.try_open(split.parent, O_PATH | O_DIRECTORY);
  if (entry.directory) return 0;
  if (errno != ENOTDIR) return resolve_errno();
  entry.behind_symlink = true;
  entry.directory = root.try_open(split.parent + "/.", O_PATH | O_DIRECTORY);
  return entry.directory ? 0 : resolve_errno();
}

int find_object(const ConfinedRoot& root, const std::string& path, UniqueFd& object) {
  object = root.try_open(path, O_PATH);
  return object ? 0 : resolve_errno();
}

std::string path_of_fd(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

Status AsCaller::check_path(std::string_view path) const {
  CHECK_OK(check_store_path(path));
  if (!split_store_path(path).name.starts_with(unfinished_prefix)) return ok();
  return Error(Code::invalid_argument, printable_path(path) + " begins with " + std::string(unfinished_prefix) +
                                           ", as unfinished writes of the cache do; take another name");
}

Status AsCaller::check_entry(std::string_view path) const {
  if (!path.empty()) return check_path(path);
  return Error(Code::invalid_argument, "the root of an attachment can not be made, moved or removed").with_error_number(EBUSY);
}

Error AsCaller::error_for(std::string_view path, std::string_view other, int number) const {
  if (number == leads_outside) return root_.error_for(path, EXDEV);
  const std::string object = printable_path(path) + (other.empty() ? "" : " and " + printable_path(other)) + " in " +
                             printable_path(root_.directory());
  const std::string user = "user " + std::to_string(caller_.uid);
  const auto error = [number](Code code, std::string message) {
    return Error(code, std::move(message)).with_error_number(number);
  };
  switch (number) {
    case EACCES:
      return error(Code::permission_denied, object + ": " + user + " has no permission for this, or may not search a directory "
                                                                   "on the way; its mode or ACL decides");
    case EPERM:
      return error(Code::permission_denied, object + ": this is not permitted to " + user + "; the owner or root may do it, if "
                                                                                            "the file system can");
    case EXDEV:
      return error(Code::unsupported, object + " are on different file systems; copy and remove instead");
    case ENODATA:
      return error(Code::not_found, object + " has no such extended attribute");
    case ENXIO:
      return error(Code::unsupported, object + " is a FIFO, socket or device; only regular files are opened through the cache");
    default:
      break;
  }
  Error general = root_.error_for(path, number);
  // The root itself is not there: that is not the ENOENT of the path.
  if (number == ENOENT && general.code() != Code::not_found) return general;
  return std::move(general).with_error_number(number);
}

}  // namespace hearth
