# hearth_library(NAME SOURCES ... LINKS ...): a static library whose headers are included as "folder/header.h".
function(hearth_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/common/include)
  target_compile_definitions(${name} PUBLIC BOOST_ASIO_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED)
  target_link_libraries(${name} PUBLIC ${arg_LINKS} PRIVATE ${arg_PRIVATE_LINKS})
endfunction()

# Code of tests runs once and is compiled more often than that: under a sanitizer it is not optimised (a third of the
# compile time), and the checks that cost most there stay with the code that is tested. A null pointer that a test
# follows ends the test all the same.
function(hearth_quick_to_compile name)
  if(HEARTH_SANITIZE)
    target_compile_options(${name} PRIVATE -O0)
  endif()
  if(HEARTH_SANITIZE STREQUAL "address")
    target_compile_options(${name} PRIVATE -fno-sanitize=null,alignment,object-size,vptr)
  endif()
endfunction()

# hearth_compiles_alone(SOURCE...): left out where several sources are one compilation: it shares a name of its unnamed
# namespace with another.
function(hearth_compiles_alone)
  set_source_files_properties(${ARGN} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

# hearth_test_objects(NAME SOURCES ... LINKS ...): sources that several test programs share, compiled once. TESTs in them
# are kept, as a static library would not. Used as SOURCES $<TARGET_OBJECTS:NAME>.
function(hearth_test_objects name)
  if(NOT HEARTH_BUILD_TESTS)
    return()
  endif()
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS" ${ARGN})
  add_library(${name} OBJECT ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LINKS} GTest::gtest)
  hearth_quick_to_compile(${name})
endfunction()

# hearth_test(NAME SOURCES ... LINKS ... [LABELS ...] [TIMEOUT s]): a GoogleTest program; each TEST is a ctest test.
function(hearth_test name)
  if(NOT HEARTH_BUILD_TESTS)
    return()
  endif()
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;LINKS;LABELS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 60)
  endif()
  if(NOT arg_LABELS)
    set(arg_LABELS fast)
  endif()
  math(EXPR arg_TIMEOUT "${arg_TIMEOUT} * ${HEARTH_TEST_TIMEOUT_FACTOR}")
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LINKS} GTest::gtest_main)
  hearth_quick_to_compile(${name})
  gtest_discover_tests(${name} TEST_PREFIX "${name}." DISCOVERY_MODE PRE_TEST
    PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}")
endfunction()

# hearth_fuzzer(NAME SOURCES ... LINKS ...): a libFuzzer target under clang; elsewhere the same source
# replays its corpus (tests/fuzz/corpus/NAME) as a test, see tests/fuzz/replay_main.cc.
function(hearth_fuzzer name)
  if(NOT HEARTH_BUILD_TESTS)
    return()
  endif()
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS" ${ARGN})
  set(corpus ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name})
  if(HEARTH_BUILD_FUZZ)
    add_executable(${name} ${arg_SOURCES})
    target_compile_options(${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    if(NOT TARGET hearth_fuzz_replay)
      add_library(hearth_fuzz_replay OBJECT ${PROJECT_SOURCE_DIR}/tests/fuzz/replay_main.cc)
    endif()
    add_executable(${name} ${arg_SOURCES} $<TARGET_OBJECTS:hearth_fuzz_replay>)
    add_test(NAME ${name} COMMAND ${name} ${corpus})
    set_tests_properties(${name} PROPERTIES LABELS "fast;fuzz" TIMEOUT 60)
  endif()
  target_link_libraries(${name} PRIVATE ${arg_LINKS})
endfunction()
