#include "c_api_checks.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define STRING_OF(number) #number
#define STRING(number) STRING_OF(number)
#define EXPECT(condition) \
  do {                    \
    if (!(condition)) return "line " STRING(__LINE__) ": " #condition; \
  } while (0)
/* The call fails with this code, and its message holds the word. */
#define EXPECT_FAILS(code, word, call) EXPECT((call) == (code) && strstr(hearth_error_message(), (word)) != NULL)

static hearth_client *connect_to(const char *master) {
  hearth_options options;
  hearth_options_init(&options);
  options.master = master;
  hearth_client *client = NULL;
  const int64_t code = hearth_connect(&options, &client);
  if (code != 0) fprintf(stderr, "connect: %s\n", hearth_error_message());
  return client;
}

const char *check_codes(void) {
  EXPECT(strcmp(hearth_code_name(HEARTH_OK), "ok") == 0);
  EXPECT(strcmp(hearth_code_name(4096), "ok") == 0);
  EXPECT(strcmp(hearth_code_name(HEARTH_NOT_FOUND), "not_found") == 0);
  EXPECT(strcmp(hearth_code_name(HEARTH_WRONG_EPOCH), "wrong_epoch") == 0);
  EXPECT(strcmp(hearth_code_name(-9999), "internal") == 0);
  EXPECT(strcmp(hearth_code_name(INT64_MIN), "internal") == 0);
  EXPECT(hearth_code_errno(HEARTH_NOT_FOUND) == ENOENT);
  EXPECT(hearth_code_errno(HEARTH_STALE) == ESTALE);
  EXPECT(hearth_code_errno(17) == 0);
  EXPECT(strcmp(hearth_version(), HEARTH_VERSION_STRING) == 0);
  EXPECT(hearth_version_number() == HEARTH_VERSION_NUMBER);
  return NULL;
}

const char *check_options(void) {
  hearth_options options;
  memset(&options, 0xff, sizeof options);
  hearth_options_init(&options);
  EXPECT(options.size == sizeof options);
  EXPECT(strcmp(options.master, "127.0.0.1:19800") == 0);
  EXPECT(options.short_circuit == HEARTH_YES && options.verify == HEARTH_VERIFY_ONCE && options.reserved == 0);
  EXPECT(options.read_deadline_ms == 30000);
  /* A program of a newer header: what this library does not know is emptied. */
  struct {
    hearth_options known;
    uint64_t newer;
  } larger;
  memset(&larger, 0xff, sizeof larger);
  hearth_options_init_sized(&larger.known, sizeof larger);
  EXPECT(larger.known.size == sizeof larger && larger.newer == 0 && larger.known.verify == HEARTH_VERIFY_ONCE);
  return NULL;
}

const char *check_bad_options(const char *master) {
  hearth_client *client = NULL;
  hearth_options options;
  memset(&options, 0, sizeof options);
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "hearth_options_init()", hearth_connect(&options, &client));
  hearth_options_init(&options);
  options.master = NULL;
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "master", hearth_connect(&options, &client));
  options.master = "nonsense";
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "nonsense", hearth_connect(&options, &client));
  options.master = master;
  options.verify = 7;
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "switch", hearth_connect(&options, &client));
  hearth_options_init(&options);
  options.read_deadline_ms = 0;
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "read_deadline_ms", hearth_connect(&options, &client));
  struct {
    hearth_options known;
    uint64_t newer;
  } larger;
  hearth_options_init_sized(&larger.known, sizeof larger);
  larger.known.master = master;
  EXPECT(hearth_connect(&larger.known, &client) == 0 && client != NULL);
  hearth_disconnect(client);
  larger.newer = 1;
  EXPECT_FAILS(HEARTH_UNSUPPORTED, HEARTH_VERSION_STRING, hearth_connect(&larger.known, &client));
  EXPECT(client == NULL);
  return NULL;
}

static void never(void *user, int64_t result, const char *message) {
  (void)user;
  (void)result;
  (void)message;
  abort();
}

const char *check_null_arguments(const char *master, const known_file *known) {
  char byte = 0;
  hearth_status status;
  hearth_counters counters;
  hearth_listing *listing = NULL;
  hearth_view view;
  hearth_file *file = NULL;
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "client is NULL", hearth_connect(NULL, NULL));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "client is NULL", hearth_stat(NULL, "/a", &status));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "client is NULL", hearth_open(NULL, "/a", &file));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "client is NULL", hearth_read_link(NULL, "/a", &byte, 1));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "client is NULL", hearth_list(NULL, "/a", NULL, 1, &listing));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "client is NULL", hearth_read_file(NULL, "/a", &byte, 1));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "client is NULL", hearth_get_counters(NULL, &counters));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "file is NULL", hearth_pread(NULL, &byte, 1, 0));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "file is NULL", hearth_pread_async(NULL, &byte, 1, 0, never, NULL));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "file is NULL", hearth_view_open(NULL, 0, 1, &view));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "file is NULL", hearth_load(NULL, 0, 1));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "file is NULL", hearth_file_status(NULL, &status));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "file is NULL", hearth_file_version(NULL, &byte, 1));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "listing is NULL", hearth_listing_more(NULL));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "listing is NULL", hearth_listing_status(NULL, 0, &status));
  EXPECT(hearth_listing_name(NULL, 0) == NULL);
  hearth_forget(NULL, NULL);
  hearth_close(NULL);
  hearth_disconnect(NULL);
  hearth_listing_free(NULL);
  hearth_view_release(NULL);
  hearth_options_init_sized(NULL, sizeof(hearth_options));

  hearth_client *client = connect_to(master);
  EXPECT(client != NULL);
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "path is NULL", hearth_stat(client, NULL, &status));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "status is NULL", hearth_stat(client, known->path, NULL));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "path is NULL", hearth_open(client, NULL, &file));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "file is NULL", hearth_open(client, known->path, NULL));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "listing is NULL", hearth_list(client, "/", NULL, 1, NULL));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "counters is NULL", hearth_get_counters(client, NULL));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "relative", hearth_stat(client, "relative", &status));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "/a/../b", hearth_open(client, "/a/../b", &file));
  EXPECT(file == NULL);
  EXPECT(hearth_open(client, known->path, &file) == 0);
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "into is NULL", hearth_pread(file, NULL, 1, 0));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "into is NULL", hearth_pread_async(file, NULL, 1, 0, never, NULL));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "done is NULL", hearth_pread_async(file, &byte, 1, 0, NULL, NULL));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "view is NULL", hearth_view_open(file, 0, 1, NULL));
  EXPECT(hearth_pread(file, NULL, 0, 0) == 0);
  hearth_close(file);
  hearth_disconnect(client);
  return NULL;
}

const char *check_reads(const char *master, const known_file *known) {
  hearth_client *client = connect_to(master);
  EXPECT(client != NULL);
  hearth_file *file = NULL;
  EXPECT(hearth_open(client, known->path, &file) == 0);
  hearth_disconnect(client); /* files keep what they need */
  unsigned char *into = malloc(known->length + 10);
  EXPECT(hearth_pread(file, into, known->length + 10, 0) == (int64_t)known->length);
  EXPECT(memcmp(into, known->content, known->length) == 0);
  EXPECT(hearth_pread(file, into, 7, known->length - 3) == 3);
  EXPECT(memcmp(into, known->content + known->length - 3, 3) == 0);
  EXPECT(hearth_pread(file, into, 7, known->length) == 0);
  EXPECT(hearth_pread(file, into, 7, UINT64_MAX) == 0);
  EXPECT(hearth_load(file, 0, known->length) == (int64_t)known->length);
  hearth_close(file);

  client = connect_to(master);
  EXPECT(hearth_read_file(client, known->path, into, known->length) == (int64_t)known->length);
  EXPECT(memcmp(into, known->content, known->length) == 0);
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, known->path, hearth_read_file(client, known->path, into, known->length - 1));
  EXPECT_FAILS(HEARTH_NOT_FOUND, "/absent", hearth_read_file(client, "/absent", into, 1));
  hearth_counters counters;
  EXPECT(hearth_get_counters(client, &counters) == 0);
  EXPECT(counters.mapped_bytes + counters.worker_hit_bytes == known->length);
  hearth_disconnect(client);
  free(into);
  return NULL;
}

struct answer {
  sem_t ready;
  int64_t result;
  char message[200];
};

static void note(void *user, int64_t result, const char *message) {
  struct answer *answer = user;
  answer->result = result;
  snprintf(answer->message, sizeof answer->message, "%s", message);
  sem_post(&answer->ready);
}

const char *check_async_reads(const char *master, const known_file *known) {
  hearth_client *client = connect_to(master);
  hearth_file *file = NULL;
  EXPECT(client != NULL && hearth_open(client, known->path, &file) == 0);
  struct answer answer;
  sem_init(&answer.ready, 0, 0);
  unsigned char *into = malloc(known->length);
  for (int round = 0; round < 3; ++round) { /* the first is cold, the others are answered from here */
    memset(into, 0, known->length);
    EXPECT(hearth_pread_async(file, into, known->length, 0, note, &answer) == 0);
    while (sem_wait(&answer.ready) != 0) continue;
    EXPECT(answer.result == (int64_t)known->length && answer.message[0] == '\0');
    EXPECT(memcmp(into, known->content, known->length) == 0);
  }
  free(into);
  sem_destroy(&answer.ready);
  hearth_close(file);
  hearth_disconnect(client);
  return NULL;
}

const char *check_batches(const char *master, const known_file *small, const known_file *large) {
  hearth_client *client = connect_to(master);
  EXPECT(client != NULL);
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "client is NULL", hearth_stat_many(NULL, NULL, 0));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "client is NULL", hearth_open_many(NULL, NULL, 0));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "client is NULL", hearth_read_many(NULL, NULL, 0));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "items is NULL", hearth_stat_many(client, NULL, 1));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "items is NULL", hearth_open_many(client, NULL, 1));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "items is NULL", hearth_read_many(client, NULL, 1));
  EXPECT(hearth_stat_many(client, NULL, 0) == 0 && hearth_open_many(client, NULL, 0) == 0 && hearth_read_many(client, NULL, 0) == 0);

  hearth_stat_item stats[4];
  memset(stats, 0, sizeof stats);
  stats[0].path = small->path;
  stats[1].path = "/absent";
  stats[2].path = NULL;
  stats[3].path = large->path;
  EXPECT(hearth_stat_many(client, stats, 4) == 2);
  EXPECT(strstr(hearth_error_message(), "/absent") != NULL);
  EXPECT(stats[0].result == 0 && stats[0].status.length_bytes == small->length);
  EXPECT(stats[1].result == HEARTH_NOT_FOUND && stats[2].result == HEARTH_INVALID_ARGUMENT);
  EXPECT(stats[3].result == 0 && stats[3].status.length_bytes == large->length);

  hearth_open_item opens[3];
  memset(opens, 0xff, sizeof opens);
  opens[0].path = small->path;
  opens[1].path = "/absent";
  opens[2].path = large->path;
  EXPECT(hearth_open_many(client, opens, 3) == 2);
  EXPECT(opens[0].file != NULL && opens[1].file == NULL && opens[2].file != NULL && opens[1].result == HEARTH_NOT_FOUND);

  unsigned char into[4][600];
  hearth_read_item reads[6];
  memset(reads, 0, sizeof reads);
  for (size_t i = 0; i < 4; ++i) {
    reads[i].file = opens[i % 2 * 2].file;
    reads[i].into = into[i];
    reads[i].size = sizeof into[i];
    reads[i].offset = i * 1001;
  }
  reads[5].file = opens[0].file;
  reads[5].size = 1; /* into no memory */
  EXPECT(hearth_read_many(client, reads, 6) == 4);
  EXPECT(strstr(hearth_error_message(), "file of item 4 is NULL") != NULL);
  EXPECT(reads[4].result == HEARTH_INVALID_ARGUMENT && reads[5].result == HEARTH_INVALID_ARGUMENT);
  for (size_t i = 0; i < 4; ++i) {
    const known_file *known = i % 2 == 0 ? small : large;
    EXPECT(reads[i].result == (int64_t)sizeof into[i]);
    EXPECT(memcmp(into[i], known->content + i * 1001, sizeof into[i]) == 0);
  }
  hearth_close(opens[0].file);
  hearth_close(opens[2].file);
  hearth_disconnect(client);
  return NULL;
}

const char *check_view(const char *master, const known_file *known) {
  hearth_client *client = connect_to(master);
  hearth_file *file = NULL;
  EXPECT(client != NULL && hearth_open(client, known->path, &file) == 0);
  hearth_view view;
  EXPECT(hearth_view_open(file, 5, 1000, &view) == 1000);
  EXPECT(view.length == 1000 && memcmp(view.data, known->content + 5, 1000) == 0);
  hearth_view moved = view;
  EXPECT(hearth_view_open(file, known->length - 2, 1000, &view) == 2);
  hearth_view_release(&view);
  EXPECT(view.data == NULL && view.length == 0);
  hearth_view_release(&view);
  EXPECT(hearth_view_open(file, known->length, 1, &view) == 0 && view.length == 0);
  hearth_view_release(&view);
  hearth_close(file);
  hearth_disconnect(client);
  EXPECT(memcmp(moved.data, known->content + 5, 1000) == 0); /* of nobody else's life */
  hearth_view_release(&moved);
  return NULL;
}

const char *check_no_view(const char *master, const known_file *known) {
  hearth_client *client = connect_to(master);
  hearth_file *file = NULL;
  EXPECT(client != NULL && hearth_open(client, known->path, &file) == 0);
  hearth_view view;
  memset(&view, 0xff, sizeof view);
  EXPECT_FAILS(HEARTH_UNSUPPORTED, known->path, hearth_view_open(file, 0, 10, &view));
  hearth_view_release(&view); /* emptied by the failure */
  hearth_close(file);
  hearth_disconnect(client);
  return NULL;
}

const char *check_status(const char *master, const known_file *known, const char *link, const char *target) {
  hearth_client *client = connect_to(master);
  EXPECT(client != NULL);
  hearth_status status;
  memset(&status, 0xff, sizeof status);
  EXPECT(hearth_stat(client, known->path, &status) == 0);
  EXPECT(status.length_bytes == known->length && status.type == HEARTH_REGULAR && status.reserved[4] == 0);
  EXPECT_FAILS(HEARTH_NOT_FOUND, "/absent", hearth_stat(client, "/absent", &status));
  hearth_forget(client, known->path);
  hearth_file *file = NULL;
  EXPECT(hearth_open(client, known->path, &file) == 0);
  EXPECT(hearth_file_status(file, &status) == 0 && status.length_bytes == known->length);
  char into[64] = "xxxxxxxx";
  EXPECT(hearth_file_version(file, NULL, 0) == 2);
  EXPECT(hearth_file_version(file, into, 1) == 2 && into[0] == 'v' && into[1] == 'x');
  EXPECT(hearth_file_version(file, into, sizeof into) == 2 && memcmp(into, "v1", 2) == 0);
  hearth_close(file);
  EXPECT(hearth_stat(client, link, &status) == 0 && status.type == HEARTH_SYMLINK);
  EXPECT(hearth_read_link(client, link, into, sizeof into) == (int64_t)strlen(target));
  EXPECT(memcmp(into, target, strlen(target)) == 0);
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "not a symlink", hearth_read_link(client, known->path, into, sizeof into));
  hearth_disconnect(client);
  return NULL;
}

const char *check_listing(const char *master, const char *directory, const char *const *names, size_t count) {
  hearth_client *client = connect_to(master);
  EXPECT(client != NULL);
  hearth_listing *listing = NULL;
  EXPECT(hearth_list(client, directory, NULL, 1000, &listing) == (int64_t)count);
  hearth_disconnect(client);
  for (size_t i = 0; i < count; ++i) {
    hearth_status status;
    EXPECT(strcmp(hearth_listing_name(listing, i), names[i]) == 0);
    EXPECT(hearth_listing_status(listing, i, &status) == 0 && status.type == HEARTH_REGULAR);
  }
  hearth_status status;
  EXPECT(hearth_listing_name(listing, count) == NULL);
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "index", hearth_listing_status(listing, count, &status));
  EXPECT(hearth_listing_more(listing) == HEARTH_NO);
  hearth_listing_free(listing);
  return NULL;
}

static void *fail_elsewhere(void *user) {
  hearth_status status;
  const int64_t code = hearth_stat(user, "/of-another-thread", &status);
  return code == HEARTH_NOT_FOUND && strstr(hearth_error_message(), "/of-another-thread") != NULL ? NULL : "wrong";
}

const char *check_messages_of_threads(const char *master) {
  hearth_client *client = connect_to(master);
  EXPECT(client != NULL);
  hearth_status status;
  EXPECT_FAILS(HEARTH_NOT_FOUND, "/of-this-thread", hearth_stat(client, "/of-this-thread", &status));
  pthread_t thread;
  void *wrong = NULL;
  EXPECT(pthread_create(&thread, NULL, fail_elsewhere, client) == 0 && pthread_join(thread, &wrong) == 0 && wrong == NULL);
  EXPECT(strstr(hearth_error_message(), "/of-this-thread") != NULL);
  hearth_disconnect(client);
  return NULL;
}

static const char *in_child(hearth_client *client, hearth_file *file, hearth_view *view, const char *master,
                            const known_file *known) {
  unsigned char byte;
  hearth_status status;
  hearth_listing *listing;
  hearth_file *other;
  hearth_view another;
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "fork", hearth_stat(client, known->path, &status));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "fork", hearth_open(client, known->path, &other));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "fork", hearth_list(client, "/", NULL, 1, &listing));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "fork", hearth_read_file(client, known->path, &byte, 1));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "fork", hearth_pread(file, &byte, 1, 0));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "fork", hearth_pread_async(file, &byte, 1, 0, never, NULL));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "fork", hearth_view_open(file, 0, 1, &another));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "fork", hearth_load(file, 0, 1));
  hearth_stat_item stat_item = {.path = known->path};
  hearth_open_item open_item = {.path = known->path};
  hearth_read_item read_item = {.file = file, .into = &byte, .size = 1};
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "fork", hearth_stat_many(client, &stat_item, 1));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "fork", hearth_open_many(client, &open_item, 1));
  EXPECT_FAILS(HEARTH_INVALID_ARGUMENT, "fork", hearth_read_many(client, &read_item, 1));
  EXPECT(memcmp(view->data, known->content, view->length) == 0);
  hearth_close(file);
  hearth_disconnect(client);
  hearth_view_release(view);
  client = connect_to(master);
  EXPECT(client != NULL && hearth_read_file(client, known->path, &byte, 0) == HEARTH_INVALID_ARGUMENT);
  EXPECT(hearth_open(client, known->path, &file) == 0 && hearth_pread(file, &byte, 1, 0) == 1 && byte == known->content[0]);
  hearth_close(file);
  hearth_disconnect(client);
  return NULL;
}

const char *check_forked_child(const char *master, const known_file *known) {
  hearth_client *client = connect_to(master);
  hearth_file *file = NULL;
  hearth_view view;
  EXPECT(client != NULL && hearth_open(client, known->path, &file) == 0);
  EXPECT(hearth_view_open(file, 0, 1000, &view) == 1000);
  const pid_t child = fork();
  if (child == 0) {
    const char *wrong = in_child(client, file, &view, master, known);
    if (wrong != NULL) fprintf(stderr, "in the child: %s (%s)\n", wrong, hearth_error_message());
    _exit(wrong == NULL ? 0 : 1);
  }
  int status = -1;
  EXPECT(waitpid(child, &status, 0) == child && status == 0);
  unsigned char byte;
  EXPECT(hearth_pread(file, &byte, 1, 9) == 1 && byte == known->content[9]);
  EXPECT(memcmp(view.data, known->content, view.length) == 0);
  hearth_view_release(&view);
  hearth_close(file);
  hearth_disconnect(client);
  return NULL;
}
