/* Hearth's client library for C: read a namespace through its cache, and change it (hearth_writing.h).
 *
 *   hearth_client *client;
 *   hearth_file *file;
 *   hearth_options options;
 *   hearth_options_init(&options);
 *   options.master = "127.0.0.1:19800";
 *   if (hearth_connect(&options, &client) < 0) return fail(hearth_error_message());
 *   if (hearth_open(client, "/data/part-0001.parquet", &file) < 0) ...
 *   int64_t count = hearth_pread(file, buffer, sizeof buffer, 0);
 *   hearth_close(file);
 *   hearth_disconnect(client);
 *
 * Threads: a client and its files may be used by any number of threads at once; close each once, after its last use.
 *          A thread must not be cancelled (pthread_cancel) inside of a call.
 * Fork:    in a forked child every call on an inherited handle fails with HEARTH_INVALID_ARGUMENT and closing it is
 *          harmless; connect anew. Views made before stay readable. A child forked inside of a callback may only exec
 *          or _exit.
 * Fails:   a negative hearth_code; hearth_error_message() says what happened and what to do.
 * Paths:   absolute in the namespace ("/a/b"), raw bytes; "." and ".." and empty components are refused.
 * ABI:     functions and fields are only added while the soname stays. hearth_options and its like grow: `size` says
 *          which fields the program knows. What a program reads has reserved fields, which are 0.
 */
#pragma once

#include <hearth/version.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define HEARTH_NOEXCEPT noexcept
#else
#define HEARTH_NOEXCEPT
#endif

/* Outcomes: docs/reference/errors.md, negated. Every function that can fail returns one of them, or 0, or a count. */
typedef enum hearth_code {
  HEARTH_OK = 0,
  HEARTH_INTERNAL = -1,
  HEARTH_INVALID_ARGUMENT = -2,
  HEARTH_NOT_FOUND = -3,
  HEARTH_ALREADY_EXISTS = -4,
  HEARTH_PERMISSION_DENIED = -5,
  HEARTH_NOT_DIRECTORY = -6,
  HEARTH_IS_DIRECTORY = -7,
  HEARTH_NOT_EMPTY = -8,
  HEARTH_NAME_TOO_LONG = -9,
  HEARTH_SYMLINK_LOOP = -10,
  HEARTH_STALE = -11,
  HEARTH_CORRUPT = -12,
  HEARTH_NO_SPACE = -13,
  HEARTH_IO_ERROR = -14,
  HEARTH_UNAVAILABLE = -15,
  HEARTH_DEADLINE_EXCEEDED = -16,
  HEARTH_CANCELLED = -17,
  HEARTH_OVERLOADED = -18,
  HEARTH_VERSION_MISMATCH = -19,
  HEARTH_UNSUPPORTED = -20,
  HEARTH_READ_ONLY = -21,
  HEARTH_BUSY = -22,
  HEARTH_UNAUTHENTICATED = -23,
  HEARTH_BAD_FRAME = -24,
  HEARTH_WRONG_EPOCH = -25
} hearth_code;

/* What the last call that failed on this thread said; "" when none did. Valid until the next one fails. */
HEARTH_API const char *hearth_error_message(void) HEARTH_NOEXCEPT;
/* Its errno, which may say more than the code: EPERM and EACCES are both HEARTH_PERMISSION_DENIED. 0 when none failed. */
HEARTH_API int hearth_error_errno(void) HEARTH_NOEXCEPT;
/* "not_found" for HEARTH_NOT_FOUND; "internal" for a number that this library does not know. */
HEARTH_API const char *hearth_code_name(int64_t code) HEARTH_NOEXCEPT;
/* ENOENT for HEARTH_NOT_FOUND; 0 for a count. */
HEARTH_API int hearth_code_errno(int64_t code) HEARTH_NOEXCEPT;

/* Of the library that is loaded: HEARTH_VERSION_STRING and HEARTH_VERSION_NUMBER of its own headers. */
HEARTH_API const char *hearth_version(void) HEARTH_NOEXCEPT;
HEARTH_API uint32_t hearth_version_number(void) HEARTH_NOEXCEPT;

/* ---- client */

typedef struct hearth_client hearth_client;
typedef struct hearth_file hearth_file;

enum { HEARTH_NO = 0, HEARTH_YES = 1 };
enum { HEARTH_VERIFY_OFF = 0, HEARTH_VERIFY_ONCE = 1, HEARTH_VERIFY_ALWAYS = 2 }; /* checksums of mapped bytes */

/* Filled by hearth_options_init(); the meaning and the defaults are those of hearth::ClientOptions. */
typedef struct hearth_options {
  size_t size;                    /* of this struct, as the program was compiled */
  const char *master;             /* host:port or unix:/path; copied */
  const char *tenant;             /* copied; at most 64 bytes */
  uint64_t metadata_deadline_ms;  /* stat, list, open, with retries */
  uint64_t read_deadline_ms;      /* one pread, with retries elsewhere */
  uint64_t attempt_deadline_ms;   /* one try at one worker while others remain */
  uint64_t max_mapped_bytes;
  uint64_t max_cached_paths;
  uint64_t grant_min_bytes;
  uint32_t readahead_bytes;
  uint32_t connections_per_worker;
  uint32_t short_circuit;         /* HEARTH_YES or HEARTH_NO */
  uint32_t direct_store_reads;    /* HEARTH_YES or HEARTH_NO */
  uint32_t verify;                /* HEARTH_VERIFY_... */
  uint32_t reserved;
} hearth_options;

HEARTH_API void hearth_options_init_sized(hearth_options *options, size_t size) HEARTH_NOEXCEPT;
static inline void hearth_options_init(hearth_options *options) { hearth_options_init_sized(options, sizeof *options); }

/* Connects to the master and negotiates the protocol version; NULL options: the defaults. */
HEARTH_API int64_t hearth_connect(const hearth_options *options, hearth_client **client) HEARTH_NOEXCEPT;
/* Files that are open stay so and keep what they need. NULL does nothing. */
HEARTH_API void hearth_disconnect(hearth_client *client) HEARTH_NOEXCEPT;

typedef enum hearth_type {
  HEARTH_REGULAR = 0,
  HEARTH_DIRECTORY = 1,
  HEARTH_SYMLINK = 2,
  HEARTH_OTHER = 3
} hearth_type;

enum { HEARTH_SERVED_STALE = 1 }; /* flag: the under-store could not be asked */

typedef struct hearth_status {
  uint64_t inode;
  uint64_t length_bytes;
  int64_t mtime_ns;
  int64_t ctime_ns;
  uint64_t ttl_ms;      /* how long this may be answered from a cache */
  uint32_t type;        /* hearth_type */
  uint32_t mode;        /* permission bits (07777) */
  uint32_t uid;
  uint32_t gid;
  uint32_t link_count;
  uint32_t attachment;
  uint32_t flags;       /* HEARTH_SERVED_STALE */
  uint32_t reserved[5];
} hearth_status;

/* Of exactly this path: symlinks are answered as such. */
HEARTH_API int64_t hearth_stat(hearth_client *client, const char *path, hearth_status *status) HEARTH_NOEXCEPT;
/* The target of a symlink: its length; at most `size` bytes of it are put to `into`, which no NUL ends. */
HEARTH_API int64_t hearth_read_link(hearth_client *client, const char *path, char *into, size_t size) HEARTH_NOEXCEPT;
/* Forgets cached metadata of `path` (all when NULL), so that the next call asks the master. */
HEARTH_API void hearth_forget(hearth_client *client, const char *path) HEARTH_NOEXCEPT;

/* A page of a directory, in byte order of the names. */
typedef struct hearth_listing hearth_listing;

/* Entries after the name `after` (NULL or "": from the first), at most `limit`; returns how many there are. */
HEARTH_API int64_t hearth_list(hearth_client *client, const char *path, const char *after, size_t limit,
                               hearth_listing **listing) HEARTH_NOEXCEPT;
/* NULL for an index that is not in the listing; valid until it is freed. */
HEARTH_API const char *hearth_listing_name(const hearth_listing *listing, size_t index) HEARTH_NOEXCEPT;
HEARTH_API int64_t hearth_listing_status(const hearth_listing *listing, size_t index, hearth_status *status) HEARTH_NOEXCEPT;
/* HEARTH_YES: there are entries after the last name. */
HEARTH_API int64_t hearth_listing_more(const hearth_listing *listing) HEARTH_NOEXCEPT;
HEARTH_API void hearth_listing_free(hearth_listing *listing) HEARTH_NOEXCEPT;

/* Where the bytes of the reads of this client came from. */
typedef struct hearth_counters {
  uint64_t mapped_bytes;
  uint64_t worker_hit_bytes;
  uint64_t worker_miss_bytes;
  uint64_t store_bytes;
  uint64_t retries;
  uint64_t corrupt_chunks;
  uint64_t reserved[10];
} hearth_counters;

HEARTH_API int64_t hearth_get_counters(const hearth_client *client, hearth_counters *counters) HEARTH_NOEXCEPT;

/* ---- file: one version of it. Reads of another version fail with HEARTH_STALE. */

HEARTH_API int64_t hearth_open(hearth_client *client, const char *path, hearth_file **file) HEARTH_NOEXCEPT;
/* Reads that are on their way end first or go on; views stay. NULL does nothing. */
HEARTH_API void hearth_close(hearth_file *file) HEARTH_NOEXCEPT;
HEARTH_API int64_t hearth_file_status(const hearth_file *file, hearth_status *status) HEARTH_NOEXCEPT;
/* Equal versions have equal content. As hearth_read_link(): the length, and at most `size` bytes. */
HEARTH_API int64_t hearth_file_version(const hearth_file *file, char *into, size_t size) HEARTH_NOEXCEPT;

/* Reads up to `size` bytes at `offset`; returns the count, short only at the end of the file. */
HEARTH_API int64_t hearth_pread(hearth_file *file, void *into, size_t size, uint64_t offset) HEARTH_NOEXCEPT;

/* `result` is as of hearth_pread(); `message` is "" or why, valid during the callback. */
typedef void (*hearth_done)(void *user, int64_t result, const char *message);
/* 0: `done` runs once, on a thread of the library, which it must not block; `into` must live until then. A negative
 * code: it does not run. */
HEARTH_API int64_t hearth_pread_async(hearth_file *file, void *into, size_t size, uint64_t offset, hearth_done done,
                                      void *user) HEARTH_NOEXCEPT;

/* Whole content of a small file: its length. HEARTH_INVALID_ARGUMENT: it is longer than `size`, and nothing was read. */
HEARTH_API int64_t hearth_read_file(hearth_client *client, const char *path, void *into, size_t size) HEARTH_NOEXCEPT;

/* Verified bytes of a file where the worker of this host keeps them; they stay, and do not change, until released, also
 * after the file and the client are closed. May be moved to another place, but not copied and released twice. */
typedef struct hearth_view {
  const void *data;
  size_t length;
  void *hold[2]; /* of the library */
} hearth_view;

/* Up to `length` bytes at `offset` without a copy, fewer at the end of the file or of what lies together in memory;
 * returns the count. HEARTH_UNSUPPORTED: they are not in shared memory; read them. */
HEARTH_API int64_t hearth_view_open(hearth_file *file, uint64_t offset, size_t length, hearth_view *view) HEARTH_NOEXCEPT;
/* Empties the view. An empty one, and NULL, do nothing. */
HEARTH_API void hearth_view_release(hearth_view *view) HEARTH_NOEXCEPT;

/* ---- many at once: one round trip for all that is not cached or mapped, see hearth::Client. Each returns how many items
 * went well; the others say why in `result`, and hearth_error_message() is that of the first of them. */

typedef struct hearth_stat_item {
  const char *path;
  int64_t result;       /* 0 or a hearth_code */
  hearth_status status; /* when it is 0 */
  uint64_t reserved[2];
} hearth_stat_item;
HEARTH_API int64_t hearth_stat_many(hearth_client *client, hearth_stat_item *items, size_t count) HEARTH_NOEXCEPT;

typedef struct hearth_open_item {
  const char *path;
  hearth_file *file; /* to be closed; NULL when `result` is not 0 */
  int64_t result;
  uint64_t reserved[2];
} hearth_open_item;
HEARTH_API int64_t hearth_open_many(hearth_client *client, hearth_open_item *items, size_t count) HEARTH_NOEXCEPT;

typedef struct hearth_read_item {
  hearth_file *file; /* of this client */
  void *into;        /* the memory of two items must not overlap */
  size_t size;
  uint64_t offset;
  int64_t result; /* as of hearth_pread() */
  uint64_t reserved[2];
} hearth_read_item;
HEARTH_API int64_t hearth_read_many(hearth_client *client, hearth_read_item *items, size_t count) HEARTH_NOEXCEPT;

/* Asks the workers to cache [offset, offset + length); returns the bytes that they then have. */
HEARTH_API int64_t hearth_load(hearth_file *file, uint64_t offset, uint64_t length) HEARTH_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#undef HEARTH_NOEXCEPT

#include <hearth/hearth_writing.h>
