#include <hearth/code.h>

namespace hearth {

Code code_from_errno(int error_number) {
  switch (error_number) {
    case 0: return Code::ok;
    case EINVAL: return Code::invalid_argument;
    case ENOENT: return Code::not_found;
    case EEXIST: return Code::already_exists;
    case EACCES:
    case EPERM: return Code::permission_denied;
    case ENOTDIR: return Code::not_directory;
    case EISDIR: return Code::is_directory;
    case ENOTEMPTY: return Code::not_empty;
    case ENAMETOOLONG: return Code::name_too_long;
    case ELOOP: return Code::symlink_loop;
    case ESTALE: return Code::stale;
    case ENOSPC:
    case EDQUOT: return Code::no_space;
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case ENOTCONN:
    case EPIPE:
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENETUNREACH:
    case ENETDOWN: return Code::unavailable;
    case ETIMEDOUT: return Code::deadline_exceeded;
    case EINTR:
    case ECANCELED: return Code::cancelled;
    // A bound of the kernel was met; it may be gone in a moment.
    case EAGAIN:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS: return Code::overloaded;
    case EOPNOTSUPP:
    case ENOSYS: return Code::unsupported;
    case EROFS: return Code::read_only;
    case EBUSY:
    case ETXTBSY:
    case EADDRINUSE: return Code::busy;
    case EPROTO: return Code::bad_frame;
    default: return Code::io_error;
  }
}

}  // namespace hearth
