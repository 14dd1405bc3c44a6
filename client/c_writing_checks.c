#include "c_writing_checks.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STRING_OF(number) #number
#define STRING(number) STRING_OF(number)
#define EXPECT(condition) \
  do {                    \
    if (!(condition)) return "line " STRING(__LINE__) ": " #condition; \
  } while (0)
/* The call fails with this code and errno, and its message holds the word. */
#define EXPECT_FAILS(code, number, word, call) \
  EXPECT((call) == (code) && hearth_error_errno() == (number) && strstr(hearth_error_message(), (word)) != NULL)
#define EXPECT_MISSING(what, call) EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, EINVAL, what " is NULL", call)

static hearth_client *writing_client(const char *master) {
  hearth_options options;
  hearth_options_init(&options);
  options.master = master;
  hearth_client *client = NULL;
  if (hearth_connect(&options, &client) != 0) fprintf(stderr, "connect: %s\n", hearth_error_message());
  return client;
}

typedef struct joined {
  char text[512];
} joined;

/* Lives until the end of the expression that it is used in, or as long as what it is copied to. */
static joined at(const char *directory, const char *name) {
  joined path;
  memset(&path, 0, sizeof path);
  memcpy(path.text, directory, strlen(directory));
  strcat(path.text, "/");
  strcat(path.text, name);
  return path;
}

/* Whether the file, read through the cache, is exactly `text`. */
static int holds(hearth_client *client, const char *path, const char *text) {
  char into[256];
  const int64_t count = hearth_read_file(client, path, into, sizeof into);
  return count == (int64_t)strlen(text) && memcmp(into, text, strlen(text)) == 0;
}

static int64_t make_file(hearth_client *client, const char *path, const char *text) {
  hearth_writer *writer = NULL;
  int64_t code = hearth_open_writer(client, path, HEARTH_CREATE | HEARTH_TRUNCATE, 0644, NULL, &writer);
  if (code < 0) return code;
  code = hearth_writer_append(writer, text, strlen(text));
  if (code >= 0) code = hearth_writer_close(writer, HEARTH_ACKNOWLEDGED, NULL);
  if (code < 0) hearth_writer_abort(writer);
  return code;
}

const char *check_null_writing_arguments(const char *master, const char *directory) {
  hearth_client *client = writing_client(master);
  EXPECT(client != NULL);
  const joined path_text = at(directory, "null");
  const char *path = path_text.text;
  hearth_writer *writer = (hearth_writer *)&client;
  hearth_space space;
  char byte = 0;
  EXPECT_MISSING("client", hearth_open_writer(NULL, path, HEARTH_CREATE, 0644, NULL, &writer));
  EXPECT_MISSING("path", hearth_open_writer(client, NULL, HEARTH_CREATE, 0644, NULL, &writer));
  EXPECT_MISSING("writer", hearth_open_writer(client, path, HEARTH_CREATE, 0644, NULL, NULL));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, EINVAL, "flags", hearth_open_writer(client, path, 8, 0644, NULL, &writer));
  EXPECT(writer == NULL);
  EXPECT_MISSING("writer", hearth_writer_is_staged(NULL));
  EXPECT_MISSING("writer", hearth_writer_is_new(NULL));
  EXPECT_MISSING("writer", hearth_writer_pread(NULL, &byte, 1, 0));
  EXPECT_MISSING("writer", hearth_writer_pwrite(NULL, &byte, 1, 0));
  EXPECT_MISSING("writer", hearth_writer_append(NULL, &byte, 1));
  EXPECT_MISSING("writer", hearth_writer_truncate(NULL, 0));
  EXPECT_MISSING("writer", hearth_writer_sync(NULL));
  EXPECT_MISSING("writer", hearth_writer_close(NULL, HEARTH_STABLE, NULL));
  EXPECT(hearth_writer_abort(NULL) == 0);
  EXPECT_MISSING("client", hearth_mkdir(NULL, path, 0755, NULL));
  EXPECT_MISSING("path", hearth_mkdir(client, NULL, 0755, NULL));
  EXPECT_MISSING("path", hearth_mknod(client, NULL, S_IFREG | 0644, 0, NULL));
  EXPECT_MISSING("target", hearth_symlink(client, NULL, path, NULL));
  EXPECT_MISSING("existing", hearth_link(client, NULL, path, NULL));
  EXPECT_MISSING("path", hearth_unlink(client, NULL, NULL));
  EXPECT_MISSING("path", hearth_rmdir(client, NULL, NULL));
  EXPECT_MISSING("from", hearth_rename(client, NULL, path, HEARTH_RENAME_REPLACE, NULL));
  EXPECT_MISSING("to", hearth_rename(client, path, NULL, HEARTH_RENAME_REPLACE, NULL));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, EINVAL, "how", hearth_rename(client, path, path, 3, NULL));
  EXPECT_MISSING("path", hearth_chmod(client, NULL, 0644, NULL));
  EXPECT_MISSING("path", hearth_chown(client, NULL, 0, 0, NULL));
  EXPECT_MISSING("path", hearth_utimens(client, NULL, 0, 0, NULL));
  EXPECT_MISSING("path", hearth_sync_directory(client, NULL, NULL));
  EXPECT_MISSING("name", hearth_get_xattr(client, path, NULL, &byte, 1, NULL));
  EXPECT_MISSING("into", hearth_get_xattr(client, path, "user.a", NULL, 1, NULL));
  EXPECT_MISSING("path", hearth_list_xattrs(client, NULL, &byte, 1, NULL));
  EXPECT_MISSING("value", hearth_set_xattr(client, path, "user.a", NULL, 1, HEARTH_XATTR_ANY, NULL));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, EINVAL, "how", hearth_set_xattr(client, path, "user.a", "v", 1, 3, NULL));
  EXPECT_MISSING("name", hearth_remove_xattr(client, path, NULL, NULL));
  EXPECT_MISSING("path", hearth_get_space(client, NULL, &space));
  EXPECT_MISSING("space", hearth_get_space(client, "/", NULL));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, EINVAL, "relative", hearth_mkdir(client, "relative", 0755, NULL));
  hearth_disconnect(client);
  return NULL;
}

const char *check_writer(const char *master, const char *directory) {
  hearth_client *client = writing_client(master);
  EXPECT(client != NULL);
  const joined path_text = at(directory, "written");
  const char *path = path_text.text;
  hearth_writer *writer = NULL;
  EXPECT_FAILS(HEARTH_NOT_FOUND, ENOENT, "written", hearth_open_writer(client, path, 0, 0, NULL, &writer));
  EXPECT(writer == NULL);
  EXPECT(hearth_open_writer(client, path, HEARTH_CREATE | HEARTH_EXCLUSIVE, 0640, NULL, &writer) == 0);
  EXPECT(hearth_writer_is_new(writer) == HEARTH_YES && hearth_writer_is_staged(writer) == HEARTH_NO);
  EXPECT(hearth_writer_pwrite(writer, "hello", 5, 0) == 5);
  EXPECT(hearth_writer_append(writer, " world", 6) == 6);
  EXPECT(hearth_writer_pwrite(writer, NULL, 0, 0) == 0);
  char into[32];
  EXPECT(hearth_writer_pread(writer, into, sizeof into, 6) == 5 && memcmp(into, "world", 5) == 0);
  EXPECT(hearth_writer_sync(writer) == 0);
  EXPECT(hearth_writer_truncate(writer, 8) == 0);
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, EINVAL, "durability", hearth_writer_close(writer, 2, NULL)); /* and it is still open */
  hearth_status status;
  EXPECT(hearth_writer_close(writer, HEARTH_STABLE, &status) == 0);
  EXPECT(status.length_bytes == 8 && status.mode == 0640 && status.type == HEARTH_REGULAR);
  EXPECT(holds(client, path, "hello wo"));

  writer = NULL;
  EXPECT_FAILS(HEARTH_ALREADY_EXISTS, EEXIST, "written",
               hearth_open_writer(client, path, HEARTH_CREATE | HEARTH_EXCLUSIVE, 0640, NULL, &writer));
  EXPECT_FAILS(HEARTH_IS_DIRECTORY, EISDIR, "directory", hearth_open_writer(client, directory, 0, 0, NULL, &writer));
  EXPECT(hearth_open_writer(client, path, HEARTH_TRUNCATE, 0, NULL, &writer) == 0);
  EXPECT(hearth_writer_is_new(writer) == HEARTH_NO);
  EXPECT(hearth_writer_append(writer, "new", 3) == 3);
  EXPECT(hearth_writer_close(writer, HEARTH_ACKNOWLEDGED, NULL) == 0);
  EXPECT(holds(client, path, "new"));

  /* A close that fails leaves the writer open. */
  EXPECT(hearth_open_writer(client, path, 0, 0, NULL, &writer) == 0);
  EXPECT(hearth_unlink(client, path, NULL) == 0);
  EXPECT_FAILS(HEARTH_NOT_FOUND, ENOENT, "removed meanwhile", hearth_writer_close(writer, HEARTH_STABLE, NULL));
  EXPECT(hearth_writer_pread(writer, into, sizeof into, 0) == 3);
  EXPECT(hearth_writer_abort(writer) == 0);
  hearth_disconnect(client);
  return NULL;
}

const char *check_aborts_in_place(const char *master, const char *directory) {
  hearth_client *client = writing_client(master);
  EXPECT(client != NULL);
  const joined path_text = at(directory, "aborted");
  const char *path = path_text.text;
  EXPECT(make_file(client, path, "before") == 0);
  EXPECT(holds(client, path, "before"));
  hearth_writer *writer = NULL;
  EXPECT(hearth_open_writer(client, path, 0, 0, NULL, &writer) == 0);
  EXPECT(hearth_writer_pwrite(writer, "AFTER!", 6, 0) == 6);
  EXPECT(hearth_writer_abort(writer) == 0);
  EXPECT(holds(client, path, "AFTER!")); /* what is written in place stays, and is seen */
  const joined made_text = at(directory, "made");
  const char *made = made_text.text;
  EXPECT(hearth_open_writer(client, made, HEARTH_CREATE, 0600, NULL, &writer) == 0);
  EXPECT(hearth_writer_abort(writer) == 0);
  EXPECT(holds(client, made, ""));
  hearth_disconnect(client);
  return NULL;
}

const char *check_names(const char *master, const char *directory) {
  hearth_client *client = writing_client(master);
  EXPECT(client != NULL);
  hearth_status status;
  const joined place_text = at(directory, "names");
  const char *place = place_text.text;
  EXPECT(hearth_mkdir(client, place, 0750, NULL) == 0);
  EXPECT_FAILS(HEARTH_ALREADY_EXISTS, EEXIST, "names", hearth_mkdir(client, place, 0750, NULL));
  EXPECT(hearth_stat(client, place, &status) == 0 && status.type == HEARTH_DIRECTORY && status.mode == 0750);
  EXPECT(make_file(client, at(place, "a").text, "A") == 0);
  EXPECT(hearth_link(client, at(place, "a").text, at(place, "b").text, NULL) == 0);
  EXPECT(hearth_stat(client, at(place, "b").text, &status) == 0 && status.link_count == 2);
  EXPECT_FAILS(HEARTH_PERMISSION_DENIED, EPERM, "", hearth_link(client, place, at(directory, "hard").text, NULL)); /* not EACCES */
  EXPECT(hearth_symlink(client, "a", at(place, "soft").text, NULL) == 0);
  char target[8];
  EXPECT(hearth_read_link(client, at(place, "soft").text, target, sizeof target) == 1 && target[0] == 'a');
  EXPECT(hearth_mknod(client, at(place, "fifo").text, S_IFIFO | 0600, 0, NULL) == 0);
  EXPECT(hearth_stat(client, at(place, "fifo").text, &status) == 0 && status.type == HEARTH_OTHER);
  EXPECT(make_file(client, at(place, "c").text, "C") == 0);
  EXPECT_FAILS(HEARTH_ALREADY_EXISTS, EEXIST, "",
               hearth_rename(client, at(place, "a").text, at(place, "c").text, HEARTH_RENAME_NOREPLACE, NULL));
  EXPECT(hearth_rename(client, at(place, "a").text, at(place, "c").text, HEARTH_RENAME_EXCHANGE, NULL) == 0);
  EXPECT(holds(client, at(place, "a").text, "C") && holds(client, at(place, "c").text, "A"));
  EXPECT(hearth_rename(client, at(place, "a").text, at(place, "c").text, HEARTH_RENAME_REPLACE, NULL) == 0);
  EXPECT(holds(client, at(place, "c").text, "C"));
  EXPECT(hearth_stat(client, at(place, "a").text, &status) == HEARTH_NOT_FOUND);
  EXPECT_FAILS(HEARTH_NOT_EMPTY, ENOTEMPTY, "", hearth_rmdir(client, place, NULL));
  EXPECT_FAILS(HEARTH_IS_DIRECTORY, EISDIR, "", hearth_unlink(client, place, NULL));
  const char *const rest[] = {"b", "c", "soft", "fifo"};
  for (size_t i = 0; i < sizeof rest / sizeof rest[0]; ++i) EXPECT(hearth_unlink(client, at(place, rest[i]).text, NULL) == 0);
  EXPECT(hearth_sync_directory(client, place, NULL) == 0);
  EXPECT(hearth_rmdir(client, place, NULL) == 0);
  EXPECT(hearth_stat(client, place, &status) == HEARTH_NOT_FOUND);
  EXPECT_FAILS(HEARTH_READ_ONLY, EROFS, "/above", hearth_mkdir(client, "/above", 0755, NULL));
  hearth_disconnect(client);
  return NULL;
}

const char *check_attributes(const char *master, const char *directory) {
  hearth_client *client = writing_client(master);
  EXPECT(client != NULL);
  const joined path_text = at(directory, "attributes");
  const char *path = path_text.text;
  EXPECT(make_file(client, path, "x") == 0);
  hearth_status status;
  EXPECT(hearth_chmod(client, path, 04751, NULL) == 0);
  EXPECT(hearth_stat(client, path, &status) == 0 && status.mode == 04751);
  EXPECT(hearth_utimens(client, path, HEARTH_KEEP_TIME, 1000000000000000007, NULL) == 0);
  EXPECT(hearth_stat(client, path, &status) == 0 && status.mtime_ns == 1000000000000000007);
  EXPECT(hearth_utimens(client, path, HEARTH_TIME_NOW, HEARTH_KEEP_TIME, NULL) == 0);
  EXPECT(hearth_stat(client, path, &status) == 0 && status.mtime_ns == 1000000000000000007);
  EXPECT(hearth_utimens(client, path, HEARTH_TIME_NOW, HEARTH_TIME_NOW, NULL) == 0);
  EXPECT(hearth_stat(client, path, &status) == 0 && status.mtime_ns > 1500000000000000000);
  EXPECT(hearth_chown(client, path, HEARTH_KEEP_ID, getegid(), NULL) == 0);
  EXPECT(hearth_stat(client, path, &status) == 0 && status.uid == geteuid() && status.gid == getegid());
  hearth_disconnect(client);
  return NULL;
}

const char *check_xattrs(const char *master, const char *directory) {
  hearth_client *client = writing_client(master);
  EXPECT(client != NULL);
  const joined path_text = at(directory, "xattrs");
  const char *path = path_text.text;
  EXPECT(make_file(client, path, "x") == 0);
  const int64_t set = hearth_set_xattr(client, path, "user.a", "v\0w", 3, HEARTH_XATTR_CREATE, NULL);
  if (set < 0 && hearth_error_errno() == EOPNOTSUPP && getenv("HEARTH_CI") == NULL) {
    hearth_disconnect(client); /* a file system without them */
    return NULL;
  }
  EXPECT(set == 0);
  EXPECT_FAILS(HEARTH_ALREADY_EXISTS, EEXIST, "", hearth_set_xattr(client, path, "user.a", "x", 1, HEARTH_XATTR_CREATE, NULL));
  EXPECT_FAILS(HEARTH_NOT_FOUND, ENODATA, "", hearth_set_xattr(client, path, "user.b", "x", 1, HEARTH_XATTR_REPLACE, NULL));
  EXPECT(hearth_set_xattr(client, path, "user.bc", NULL, 0, HEARTH_XATTR_ANY, NULL) == 0);
  char into[64];
  memset(into, 'z', sizeof into);
  EXPECT(hearth_get_xattr(client, path, "user.a", NULL, 0, NULL) == 3);
  EXPECT(hearth_get_xattr(client, path, "user.a", into, 2, NULL) == 3 && memcmp(into, "v\0z", 3) == 0);
  EXPECT(hearth_get_xattr(client, path, "user.a", into, sizeof into, NULL) == 3 && memcmp(into, "v\0w", 3) == 0);
  EXPECT(hearth_get_xattr(client, path, "user.bc", into, sizeof into, NULL) == 0);
  EXPECT(hearth_list_xattrs(client, path, into, sizeof into, NULL) == 15);
  const int in_order = memcmp(into, "user.a\0user.bc\0", 15) == 0;
  EXPECT(in_order || memcmp(into, "user.bc\0user.a\0", 15) == 0);
  EXPECT(hearth_remove_xattr(client, path, "user.a", NULL) == 0);
  EXPECT_FAILS(HEARTH_NOT_FOUND, ENODATA, "", hearth_get_xattr(client, path, "user.a", into, sizeof into, NULL));
  hearth_disconnect(client);
  return NULL;
}

const char *check_callers(const char *master, const char *directory) {
  hearth_client *client = writing_client(master);
  EXPECT(client != NULL);
  hearth_caller caller;
  memset(&caller, 0xff, sizeof caller);
  const mode_t before = umask(027);
  hearth_caller_init(&caller);
  umask(before);
  EXPECT(caller.size == sizeof caller && caller.uid == geteuid() && caller.gid == getegid() && caller.umask == 027);
  EXPECT(caller.groups == NULL && caller.group_count == 0 && caller.reserved == 0);
  hearth_caller_init_sized(NULL, sizeof caller);
  hearth_status status;
  EXPECT(hearth_mkdir(client, at(directory, "masked").text, 0777, &caller) == 0);
  EXPECT(hearth_stat(client, at(directory, "masked").text, &status) == 0 && status.mode == 0750);
  caller.umask = 0;
  EXPECT(hearth_mkdir(client, at(directory, "open").text, 0777, &caller) == 0);
  EXPECT(hearth_stat(client, at(directory, "open").text, &status) == 0 && status.mode == 0777);

  hearth_caller wrong = caller;
  wrong.size = 4;
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, EINVAL, "hearth_caller_init()", hearth_mkdir(client, at(directory, "x").text, 0777, &wrong));
  wrong = caller;
  wrong.group_count = 1;
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, EINVAL, "groups", hearth_mkdir(client, at(directory, "x").text, 0777, &wrong));
  wrong = caller;
  wrong.reserved = 1;
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, EINVAL, "reserved", hearth_mkdir(client, at(directory, "x").text, 0777, &wrong));
  struct {
    hearth_caller known;
    uint64_t newer;
  } larger;
  hearth_caller_init_sized(&larger.known, sizeof larger);
  EXPECT(larger.known.size == sizeof larger && larger.newer == 0);
  EXPECT(hearth_mkdir(client, at(directory, "newer").text, 0777, &larger.known) == 0);
  larger.newer = 1;
  EXPECT_FAILS(HEARTH_UNSUPPORTED, EOPNOTSUPP, HEARTH_VERSION_STRING, hearth_mkdir(client, at(directory, "x").text, 0777, &larger.known));

  /* Another user has that user's rights: root asks as one, others are refused to speak for one. */
  hearth_writer *writer = NULL;
  EXPECT(hearth_chmod(client, at(directory, "masked").text, 0700, NULL) == 0);
  const uint32_t groups[] = {12346};
  caller.uid = 12345;
  caller.gid = 12345;
  caller.groups = groups;
  caller.group_count = 1;
  EXPECT(hearth_mkdir(client, at(directory, "masked/x").text, 0777, &caller) == HEARTH_PERMISSION_DENIED);
  EXPECT(hearth_error_errno() == (geteuid() == 0 ? EACCES : EPERM));
  EXPECT(hearth_open_writer(client, at(directory, "masked/x").text, HEARTH_CREATE, 0644, &caller, &writer) == HEARTH_PERMISSION_DENIED);
  if (geteuid() == 0) {
    EXPECT(hearth_chown(client, at(directory, "masked").text, 0, 12346, NULL) == 0);
    EXPECT(hearth_chmod(client, at(directory, "masked").text, 0770, NULL) == 0);
    EXPECT(hearth_mkdir(client, at(directory, "masked/x").text, 0777, &caller) == 0); /* by the supplementary group */
    EXPECT(hearth_stat(client, at(directory, "masked/x").text, &status) == 0 && status.uid == 12345 && status.gid == 12345);
  }
  hearth_disconnect(client);
  return NULL;
}

const char *check_space(const char *master, const char *directory) {
  hearth_client *client = writing_client(master);
  EXPECT(client != NULL);
  hearth_space space;
  EXPECT(hearth_get_space(client, directory, &space) == 0);
  EXPECT(space.known == HEARTH_YES && space.without_limit == HEARTH_NO);
  EXPECT(space.total_bytes > 0 && space.free_bytes <= space.total_bytes && space.available_bytes <= space.free_bytes);
  hearth_disconnect(client);
  return NULL;
}

struct appender {
  hearth_writer *writer;
  char letter;
  int64_t failed;
};

static void *append_lines(void *given) {
  struct appender *appender = given;
  char line[64];
  memset(line, appender->letter, sizeof line);
  line[sizeof line - 1] = '\n';
  for (int i = 0; i < 50 && appender->failed == 0; ++i) {
    const int64_t count = hearth_writer_append(appender->writer, line, sizeof line);
    if (count != (int64_t)sizeof line) appender->failed = count;
  }
  return NULL;
}

const char *check_many_threads_append(const char *master, const char *directory) {
  hearth_client *client = writing_client(master);
  EXPECT(client != NULL);
  hearth_writer *writer = NULL;
  const joined path_text = at(directory, "appended");
  const char *path = path_text.text;
  EXPECT(hearth_open_writer(client, path, HEARTH_CREATE, 0644, NULL, &writer) == 0);
  pthread_t threads[4];
  struct appender appenders[4];
  for (int i = 0; i < 4; ++i) {
    appenders[i] = (struct appender){writer, (char)('a' + i), 0};
    EXPECT(pthread_create(&threads[i], NULL, append_lines, &appenders[i]) == 0);
  }
  for (int i = 0; i < 4; ++i) pthread_join(threads[i], NULL);
  for (int i = 0; i < 4; ++i) EXPECT(appenders[i].failed == 0);
  hearth_status status;
  EXPECT(hearth_writer_close(writer, HEARTH_ACKNOWLEDGED, &status) == 0);
  EXPECT(status.length_bytes == 4 * 50 * 64);
  static char content[4 * 50 * 64];
  EXPECT(hearth_read_file(client, path, content, sizeof content) == (int64_t)sizeof content);
  for (size_t line = 0; line < sizeof content; line += 64) { /* each is whole */
    for (size_t i = 0; i < 63; ++i) EXPECT(content[line + i] == content[line]);
    EXPECT(content[line + 63] == '\n');
  }
  hearth_disconnect(client);
  return NULL;
}

const char *check_writers_of_a_forked_child(const char *master, const char *directory) {
  hearth_client *client = writing_client(master);
  EXPECT(client != NULL);
  const joined path_text = at(directory, "forked");
  const char *path = path_text.text;
  hearth_writer *writer = NULL;
  EXPECT(hearth_open_writer(client, path, HEARTH_CREATE, 0644, NULL, &writer) == 0);
  EXPECT(hearth_writer_append(writer, "parent", 6) == 6);
  const pid_t child = fork();
  EXPECT(child >= 0);
  if (child == 0) {
    int wrong = 0;
    wrong |= hearth_writer_append(writer, "child", 5) != HEARTH_INVALID_ARGUMENT;
    wrong |= (hearth_mkdir(client, at(directory, "of-the-child").text, 0755, NULL) != HEARTH_INVALID_ARGUMENT) << 1;
    wrong |= (hearth_writer_close(writer, HEARTH_ACKNOWLEDGED, NULL) != HEARTH_INVALID_ARGUMENT) << 2;
    wrong |= (hearth_writer_abort(writer) != HEARTH_INVALID_ARGUMENT) << 3;
    hearth_disconnect(client);
    _exit(wrong);
  }
  int ended = 0;
  EXPECT(waitpid(child, &ended, 0) == child);
  EXPECT(WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
  EXPECT(hearth_writer_close(writer, HEARTH_ACKNOWLEDGED, NULL) == 0);
  EXPECT(holds(client, path, "parent"));
  hearth_disconnect(client);
  return NULL;
}

const char *check_staged(const char *master, const char *directory) {
  hearth_client *client = writing_client(master);
  EXPECT(client != NULL);
  const joined path_text = at(directory, "staged");
  const char *path = path_text.text;
  hearth_status status;
  hearth_writer *writer = NULL;
  EXPECT(hearth_open_writer(client, path, HEARTH_CREATE, 0640, NULL, &writer) == 0);
  EXPECT(hearth_writer_is_staged(writer) == HEARTH_YES && hearth_writer_is_new(writer) == HEARTH_YES);
  EXPECT(hearth_writer_pwrite(writer, "never", 5, 0) == 5);
  EXPECT(hearth_writer_abort(writer) == 0);
  EXPECT(hearth_stat(client, path, &status) == HEARTH_NOT_FOUND); /* nothing appears */

  EXPECT(hearth_open_writer(client, path, HEARTH_CREATE, 0640, NULL, &writer) == 0);
  EXPECT(hearth_writer_append(writer, "one", 3) == 3);
  EXPECT(hearth_stat(client, path, &status) == HEARTH_NOT_FOUND);
  EXPECT(hearth_writer_sync(writer) == 0);
  EXPECT(holds(client, path, "one"));
  EXPECT(hearth_writer_append(writer, "two", 3) == 3);
  EXPECT(hearth_writer_close(writer, HEARTH_STABLE, &status) == 0);
  EXPECT(status.length_bytes == 6 && holds(client, path, "onetwo"));

  EXPECT(hearth_open_writer(client, path, HEARTH_TRUNCATE, 0, NULL, &writer) == 0);
  EXPECT(hearth_writer_append(writer, "lost", 4) == 4);
  EXPECT(hearth_writer_abort(writer) == 0);
  EXPECT(holds(client, path, "onetwo"));
  EXPECT_FAILS(HEARTH_PERMISSION_DENIED, EPERM, "symlinks", hearth_symlink(client, "a", at(directory, "soft").text, NULL));
  EXPECT_FAILS(HEARTH_UNSUPPORTED, EOPNOTSUPP, "extended attributes",
               hearth_set_xattr(client, path, "user.a", "v", 1, HEARTH_XATTR_ANY, NULL));
  hearth_space space;
  EXPECT(hearth_get_space(client, directory, &space) == 0 && space.without_limit == HEARTH_YES);
  hearth_disconnect(client);
  return NULL;
}
