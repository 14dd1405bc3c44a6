/* What c_api_test.cc has checked by a program in C. Each answers NULL, or what is not so. */
#pragma once

#include <hearth/hearth.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A path and its content, as the scripted cluster has it. */
typedef struct known_file {
  const char *path;
  const unsigned char *content;
  size_t length;
} known_file;

const char *check_codes(void);
const char *check_options(void);
const char *check_bad_options(const char *master);
const char *check_null_arguments(const char *master, const known_file *file);
const char *check_reads(const char *master, const known_file *file);
const char *check_async_reads(const char *master, const known_file *file);
const char *check_batches(const char *master, const known_file *small, const known_file *large);
const char *check_view(const char *master, const known_file *file);
const char *check_no_view(const char *master, const known_file *file);
const char *check_status(const char *master, const known_file *file, const char *link, const char *target);
const char *check_listing(const char *master, const char *directory, const char *const *names, size_t count);
const char *check_messages_of_threads(const char *master);
const char *check_forked_child(const char *master, const known_file *file);

#ifdef __cplusplus
}
#endif
