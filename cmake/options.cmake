# Switches, language level and compiler flags.
option(HEARTH_BUILD_TESTS "Build the tests" ON)
option(HEARTH_BUILD_BENCH "Build the benchmarks" ON)
option(HEARTH_BUILD_FUZZ "Build the libFuzzer targets (clang only)" OFF)
set(HEARTH_TEST_TIMEOUT_FACTOR 1 CACHE STRING "Of every timeout of a test; the long campaigns need more")
set(HEARTH_SANITIZE "" CACHE STRING "address, thread, or empty")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

# Asserts guard against programmers' errors in every build (CONTRIBUTING.md).
string(REPLACE "-DNDEBUG" "" CMAKE_CXX_FLAGS_RELEASE "${CMAKE_CXX_FLAGS_RELEASE}")
string(REPLACE "-DNDEBUG" "" CMAKE_CXX_FLAGS_RELWITHDEBINFO "${CMAKE_CXX_FLAGS_RELWITHDEBINFO}")
string(REPLACE "-O3" "-O2" CMAKE_CXX_FLAGS_RELEASE "${CMAKE_CXX_FLAGS_RELEASE}")

add_compile_options(-Wall -Wextra -Werror=return-type -Wno-missing-field-initializers -fno-plt)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fcoroutines>)
  # False: the frame of a coroutine comes from Asio's awaitable_frame_base::operator new and goes to its operator delete
  # (aligned_alloc and free in the end). g++ inlines the first, does not inline the second and sees a mismatch, at a place
  # of ours, so that no narrower switch reaches it. AddressSanitizer sees mismatches that are real.
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wno-mismatched-new-delete>)
endif()
if(HEARTH_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    # clang 14 can not emit this check for coroutines ("Cannot represent a difference across sections").
    add_compile_options(-fno-sanitize=function)
  endif()
elseif(HEARTH_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  # "atomic_thread_fence is not supported with -fsanitize=thread": Asio's, beside locks that ThreadSanitizer does see.
  add_compile_options(-Wno-tsan)
  add_link_options(-fsanitize=thread)
endif()
if(HEARTH_BUILD_FUZZ)
  # Coverage of the libraries, too, guides the fuzzer; each target adds the rest.
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

find_program(HEARTH_CCACHE ccache)
if(HEARTH_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${HEARTH_CCACHE})
endif()
find_program(HEARTH_LLD ld.lld)
if(HEARTH_LLD)
  add_link_options(-fuse-ld=lld)
endif()
# Two cores: one link at a time, the rest compiles.
set_property(GLOBAL PROPERTY JOB_POOLS link=1)
set(CMAKE_JOB_POOL_LINK link)
