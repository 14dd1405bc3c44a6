/* Writes standard input to a file of the namespace, so that it is on the under-store's disk, and reads it back.
 *
 *   write_file unix:/run/hearth/master.sock /data/notes.txt < notes.txt
 *
 * The file appears under its name when it is complete: it is written beside its place and renamed.
 */
#include <hearth/hearth.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *what, int64_t code) {
  fprintf(stderr, "write_file: %s: %s: %s\n", what, hearth_code_name(code), hearth_error_message());
  return 2;
}

static uint64_t add(uint64_t sum, const unsigned char *bytes, size_t count) {
  for (size_t i = 0; i < count; ++i) sum = (sum ^ bytes[i]) * 1099511628211U; /* FNV-1a */
  return sum;
}

static unsigned char buffer[1 << 20];

/* All of standard input; the writer is gone afterwards. Returns 0 or why not. */
static int64_t write_input(hearth_writer *writer, uint64_t *sum, hearth_status *status) {
  int64_t code = 0;
  uint64_t length = 0;
  for (size_t count; code >= 0 && (count = fread(buffer, 1, sizeof buffer, stdin)) > 0; length += count) {
    *sum = add(*sum, buffer, count);
    code = hearth_writer_pwrite(writer, buffer, count, length);
  }
  if (code >= 0) code = hearth_writer_close(writer, HEARTH_STABLE, status);
  if (code >= 0) return 0;
  (void)fail("writing", code); /* before abort() says something else */
  hearth_writer_abort(writer);
  return code;
}

static int64_t sum_file(hearth_client *client, const char *path, uint64_t *length, uint64_t *sum) {
  hearth_file *file;
  int64_t code = hearth_open(client, path, &file);
  if (code < 0) return code;
  while ((code = hearth_pread(file, buffer, sizeof buffer, *length)) > 0) {
    *sum = add(*sum, buffer, (size_t)code);
    *length += (uint64_t)code;
  }
  hearth_close(file);
  return code;
}

static int copy_and_compare(hearth_client *client, const char *path) {
  const uint64_t empty = 14695981039346656037U;
  char beside[4096];
  if (snprintf(beside, sizeof beside, "%s.part", path) >= (int)sizeof beside) return 2;
  hearth_writer *writer;
  int64_t code = hearth_open_writer(client, beside, HEARTH_CREATE | HEARTH_TRUNCATE, 0644, NULL, &writer);
  if (code < 0) return fail(beside, code);
  uint64_t written = empty;
  hearth_status status;
  if (write_input(writer, &written, &status) != 0) {
    hearth_unlink(client, beside, NULL);
    return 2;
  }
  code = hearth_rename(client, beside, path, HEARTH_RENAME_REPLACE, NULL);
  if (code < 0) return fail(path, code);

  uint64_t length = 0;
  uint64_t sum = empty;
  code = sum_file(client, path, &length, &sum);
  if (code < 0) return fail(path, code);
  const int same = length == status.length_bytes && sum == written;
  printf("%s: %llu bytes, FNV-1a %016llx, %s\n", path, (unsigned long long)length, (unsigned long long)sum,
         same ? "as written" : "DIFFERENT FROM WHAT WAS WRITTEN");
  return same ? 0 : 1;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: write_file MASTER PATH\n");
    return 2;
  }
  hearth_options options;
  hearth_options_init(&options);
  options.master = argv[1];
  hearth_client *client;
  const int64_t code = hearth_connect(&options, &client);
  if (code < 0) return fail(argv[1], code);
  const int outcome = copy_and_compare(client, argv[2]);
  hearth_disconnect(client);
  return outcome;
}
