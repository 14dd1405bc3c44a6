/* The C interface that changes files, used as a program in C uses it. Each returns NULL, or where it went wrong. */
#pragma once

#include <hearth/hearth.h>

#ifdef __cplusplus
extern "C" {
#endif

/* `directory`: of a local under-store. */
const char *check_null_writing_arguments(const char *master, const char *directory);
const char *check_writer(const char *master, const char *directory);
const char *check_aborts_in_place(const char *master, const char *directory);
const char *check_names(const char *master, const char *directory);
const char *check_attributes(const char *master, const char *directory);
const char *check_xattrs(const char *master, const char *directory);
const char *check_callers(const char *master, const char *directory);
const char *check_space(const char *master, const char *directory);
const char *check_many_threads_append(const char *master, const char *directory);
const char *check_writers_of_a_forked_child(const char *master, const char *directory);
/* `directory`: of a store that takes objects whole. */
const char *check_staged(const char *master, const char *directory);

#ifdef __cplusplus
}
#endif
