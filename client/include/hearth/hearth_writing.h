/* The part of Hearth's C interface that changes files; <hearth/hearth.h> includes it.
 *
 *   hearth_writer *writer;
 *   if (hearth_open_writer(client, "/data/new", HEARTH_CREATE | HEARTH_TRUNCATE, 0644, NULL, &writer) < 0) ...
 *   if (hearth_writer_pwrite(writer, bytes, size, 0) < 0) ...
 *   if (hearth_writer_close(writer, HEARTH_STABLE, NULL) < 0) hearth_writer_abort(writer);
 *
 * Changes and writers are made in the name of a caller, who needs the rights that the under-store asks for. What is changed is
 * seen by every later call of this client, and by others as hearth/client.h says. A failure carries the errno of the system
 * call: hearth_error_errno(). What ended without an answer (HEARTH_UNAVAILABLE, HEARTH_DEADLINE_EXCEEDED) may have been done.
 * Needs:   a master that is asked over its Unix socket, or trusts those who come over TCP (master.tcp_callers); for writers
 *          also a worker on this host (HEARTH_UNSUPPORTED without one).
 */
#pragma once

#include <hearth/hearth.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define HEARTH_NOEXCEPT noexcept
#else
#define HEARTH_NOEXCEPT
#endif

/* Who asks. Wherever one is taken NULL stands for this process: its effective user and group, its umask, no supplementary
 * groups. Only root may speak for another user. */
typedef struct hearth_caller {
  size_t size;            /* of this struct, as the program was compiled */
  const uint32_t *groups; /* supplementary; borrowed during a call */
  size_t group_count;
  uint32_t uid;
  uint32_t gid;
  uint32_t umask; /* of new files and directories, where no default ACL stands above it */
  uint32_t reserved;
} hearth_caller;

/* Filled with this process. */
HEARTH_API void hearth_caller_init_sized(hearth_caller *caller, size_t size) HEARTH_NOEXCEPT;
static inline void hearth_caller_init(hearth_caller *caller) { hearth_caller_init_sized(caller, sizeof *caller); }

/* ---- writing a file. In a local under-store it is open in place: what is written is in the store when the call returns.
 * In a store whose objects are replaced whole (S3, HDFS) it is a staged copy on this host, which becomes the object at
 * hearth_writer_sync() and hearth_writer_close(), all or nothing. Threads: any number may read and write at once; close or
 * abort when they are done. */

typedef struct hearth_writer hearth_writer;

enum {
  HEARTH_CREATE = 1,    /* when nothing is there, with `mode` less the caller's umask */
  HEARTH_EXCLUSIVE = 2, /* with HEARTH_CREATE: HEARTH_ALREADY_EXISTS when something is there */
  HEARTH_TRUNCATE = 4
};

HEARTH_API int64_t hearth_open_writer(hearth_client *client, const char *path, uint32_t flags, uint32_t mode,
                                      const hearth_caller *caller, hearth_writer **writer) HEARTH_NOEXCEPT;
/* HEARTH_YES or HEARTH_NO. */
HEARTH_API int64_t hearth_writer_is_staged(const hearth_writer *writer) HEARTH_NOEXCEPT;
HEARTH_API int64_t hearth_writer_is_new(const hearth_writer *writer) HEARTH_NOEXCEPT; /* the open made it */
/* Up to `size` bytes at `offset`; returns the count, short only at the end of the file. */
HEARTH_API int64_t hearth_writer_pread(hearth_writer *writer, void *into, size_t size, uint64_t offset) HEARTH_NOEXCEPT;
/* All of it: returns `size`. After a failure a part may be written. */
HEARTH_API int64_t hearth_writer_pwrite(hearth_writer *writer, const void *bytes, size_t size, uint64_t offset) HEARTH_NOEXCEPT;
/* The same, behind what is there, whoever else appends. */
HEARTH_API int64_t hearth_writer_append(hearth_writer *writer, const void *bytes, size_t size) HEARTH_NOEXCEPT;
HEARTH_API int64_t hearth_writer_truncate(hearth_writer *writer, uint64_t length) HEARTH_NOEXCEPT;
/* On stable storage when it returns; a staged copy that was changed becomes the object. */
HEARTH_API int64_t hearth_writer_sync(hearth_writer *writer) HEARTH_NOEXCEPT;

/* What a close promises besides that everybody who opens the file from now on sees what was written. */
enum {
  HEARTH_ACKNOWLEDGED = 0, /* what the under-store has acknowledged: of a file in place, power loss of its host may take it */
  HEARTH_STABLE = 1        /* in place too: bytes and name are on the store's disk */
};
/* `status`, which may be NULL, is what the file is now. 0: the writer is gone. A negative code: it is still open; close it
 * again, or abort it. */
HEARTH_API int64_t hearth_writer_close(hearth_writer *writer, uint32_t durability, hearth_status *status) HEARTH_NOEXCEPT;
/* Gives up; the writer is gone in any case, and the code says whether the master could be told. Of a staged copy nothing
 * appears but what a sync made appear before. What was written in place stays, as does a file that the open made. NULL does
 * nothing. In a forked child it only frees. */
HEARTH_API int64_t hearth_writer_abort(hearth_writer *writer) HEARTH_NOEXCEPT;

/* ---- changing names and attributes, each as the system call of that name. Symlinks are not followed as the last component. */

HEARTH_API int64_t hearth_mkdir(hearth_client *client, const char *path, uint32_t mode, const hearth_caller *caller) HEARTH_NOEXCEPT;
/* `mode` with S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR or S_IFBLK; `device` as makedev(3) makes it. */
HEARTH_API int64_t hearth_mknod(hearth_client *client, const char *path, uint32_t mode, uint64_t device,
                                const hearth_caller *caller) HEARTH_NOEXCEPT;
HEARTH_API int64_t hearth_symlink(hearth_client *client, const char *target, const char *path, const hearth_caller *caller) HEARTH_NOEXCEPT;
/* Another name `path` for `existing`. */
HEARTH_API int64_t hearth_link(hearth_client *client, const char *existing, const char *path, const hearth_caller *caller) HEARTH_NOEXCEPT;
HEARTH_API int64_t hearth_unlink(hearth_client *client, const char *path, const hearth_caller *caller) HEARTH_NOEXCEPT;
HEARTH_API int64_t hearth_rmdir(hearth_client *client, const char *path, const hearth_caller *caller) HEARTH_NOEXCEPT;

enum { HEARTH_RENAME_REPLACE = 0, HEARTH_RENAME_NOREPLACE = 1, HEARTH_RENAME_EXCHANGE = 2 };
HEARTH_API int64_t hearth_rename(hearth_client *client, const char *from, const char *to, uint32_t how,
                                 const hearth_caller *caller) HEARTH_NOEXCEPT;

HEARTH_API int64_t hearth_chmod(hearth_client *client, const char *path, uint32_t mode, const hearth_caller *caller) HEARTH_NOEXCEPT;
#define HEARTH_KEEP_ID UINT32_MAX
HEARTH_API int64_t hearth_chown(hearth_client *client, const char *path, uint32_t uid, uint32_t gid,
                                const hearth_caller *caller) HEARTH_NOEXCEPT;
#define HEARTH_KEEP_TIME INT64_MIN
#define HEARTH_TIME_NOW INT64_MAX /* by the store's clock */
/* Nanoseconds since the epoch. */
HEARTH_API int64_t hearth_utimens(hearth_client *client, const char *path, int64_t atime_ns, int64_t mtime_ns,
                                  const hearth_caller *caller) HEARTH_NOEXCEPT;
/* Puts the names of a directory on stable storage. */
HEARTH_API int64_t hearth_sync_directory(hearth_client *client, const char *path, const hearth_caller *caller) HEARTH_NOEXCEPT;

/* ---- extended attributes; names come with their namespace ("user.x"). Absent: HEARTH_NOT_FOUND, with ENODATA. */

/* The length of the value; at most `size` bytes of it are put to `into`. */
HEARTH_API int64_t hearth_get_xattr(hearth_client *client, const char *path, const char *name, void *into, size_t size,
                                    const hearth_caller *caller) HEARTH_NOEXCEPT;
/* The same of all names, each ended by a NUL. */
HEARTH_API int64_t hearth_list_xattrs(hearth_client *client, const char *path, char *into, size_t size,
                                      const hearth_caller *caller) HEARTH_NOEXCEPT;
enum { HEARTH_XATTR_ANY = 0, HEARTH_XATTR_CREATE = 1, HEARTH_XATTR_REPLACE = 2 };
HEARTH_API int64_t hearth_set_xattr(hearth_client *client, const char *path, const char *name, const void *value, size_t size,
                                    uint32_t how, const hearth_caller *caller) HEARTH_NOEXCEPT;
HEARTH_API int64_t hearth_remove_xattr(hearth_client *client, const char *path, const char *name,
                                       const hearth_caller *caller) HEARTH_NOEXCEPT;

/* ---- room in the under-stores at and below a path, a few seconds old at most */

typedef struct hearth_space {
  uint64_t total_bytes;
  uint64_t free_bytes;
  uint64_t available_bytes; /* of the free ones, to users other than root */
  uint64_t files;
  uint64_t free_files;
  uint32_t known;         /* HEARTH_YES: some store told its room, and these are the sum over those */
  uint32_t without_limit; /* HEARTH_YES: some store has no limit that it tells (S3) */
  uint64_t reserved[4];
} hearth_space;
HEARTH_API int64_t hearth_get_space(hearth_client *client, const char *path, hearth_space *space) HEARTH_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#undef HEARTH_NOEXCEPT
