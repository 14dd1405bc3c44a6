/* Prints the size and a checksum of a file of the namespace: from shared memory without a copy where the worker of this
 * host has it, else by reading.
 *
 *   read_file 127.0.0.1:19800 /data/part-0001.parquet
 */
#include <hearth/hearth.h>

#include <stdio.h>
#include <stdlib.h>

static int fail(const char *what, int64_t code) {
  fprintf(stderr, "read_file: %s: %s: %s\n", what, hearth_code_name(code), hearth_error_message());
  return 2;
}

static uint64_t add(uint64_t sum, const unsigned char *bytes, size_t count) {
  for (size_t i = 0; i < count; ++i) sum = (sum ^ bytes[i]) * 1099511628211U; /* FNV-1a */
  return sum;
}

/* Sums the file from `offset` on until its end; returns 0 or why not. */
static int64_t sum_file(hearth_file *file, uint64_t *length, uint64_t *sum) {
  static unsigned char buffer[1 << 20];
  for (;;) {
    hearth_view view;
    int64_t count = hearth_view_open(file, *length, 64 << 20, &view);
    if (count > 0) {
      *sum = add(*sum, view.data, view.length);
      hearth_view_release(&view);
    } else if (count < 0) { /* not in shared memory, say */
      count = hearth_pread(file, buffer, sizeof buffer, *length);
      if (count > 0) *sum = add(*sum, buffer, (size_t)count);
    }
    if (count <= 0) return count;
    *length += (uint64_t)count;
  }
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: read_file MASTER PATH\n");
    return 2;
  }
  hearth_options options;
  hearth_options_init(&options);
  options.master = argv[1];
  hearth_client *client;
  int64_t code = hearth_connect(&options, &client);
  if (code < 0) return fail(argv[1], code);

  hearth_file *file;
  code = hearth_open(client, argv[2], &file);
  if (code == 0) {
    uint64_t length = 0;
    uint64_t sum = 14695981039346656037U;
    code = sum_file(file, &length, &sum);
    if (code == 0) printf("%s: %llu bytes, FNV-1a %016llx\n", argv[2], (unsigned long long)length, (unsigned long long)sum);
    hearth_close(file);
  }
  hearth_disconnect(client);
  return code == 0 ? 0 : fail(argv[2], code);
}
