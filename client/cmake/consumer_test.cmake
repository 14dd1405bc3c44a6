# Installs libhearth into a fresh prefix and builds the example against it, by find_package and by pkg-config.
# Run with -DBUILD=<build dir> -DSOURCE=<client dir> -DCXX=<compiler> -DCC=<compiler> -DLIBDIR=<lib> -P.
set(work ${BUILD}/client/consumer_test)
file(REMOVE_RECURSE ${work})

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "failed: ${ARGN}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD} --component libhearth --prefix ${work}/prefix)
run(${CMAKE_COMMAND} -S ${SOURCE}/examples/consumer -B ${work}/build -DCMAKE_PREFIX_PATH=${work}/prefix
    -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_C_COMPILER=${CC})
run(${CMAKE_COMMAND} --build ${work}/build)
run(${CMAKE_COMMAND} -S ${SOURCE}/examples/consumer/c -B ${work}/build_c -DCMAKE_PREFIX_PATH=${work}/prefix
    -DCMAKE_C_COMPILER=${CC})
run(${CMAKE_COMMAND} --build ${work}/build_c)
set(ENV{PKG_CONFIG_PATH} ${work}/prefix/${LIBDIR}/pkgconfig)
run(pkg-config --cflags --libs hearth)
string(STRIP "${output}" flags)
separate_arguments(flags)
run(${CXX} -std=c++20 ${SOURCE}/examples/read_file.cc -o ${work}/by_pkg_config ${flags} -Wl,-rpath,${work}/prefix/${LIBDIR})
run(${CC} -std=c11 -Wall -Wextra -Wpedantic -Werror ${SOURCE}/examples/read_file.c -o ${work}/by_pkg_config_c ${flags}
    -Wl,-rpath,${work}/prefix/${LIBDIR})
run(${CC} -std=c11 -Wall -Wextra -Wpedantic -Werror ${SOURCE}/examples/write_file.c -o ${work}/write_file_c ${flags}
    -Wl,-rpath,${work}/prefix/${LIBDIR})

foreach(example shuffle_loader footer_ranges)
  run(${CXX} -std=c++20 ${SOURCE}/examples/${example}.cc -o ${work}/${example} ${flags} -Wl,-rpath,${work}/prefix/${LIBDIR})
endforeach()

# All start and speak up: without a master they say so, and with wrong arguments they tell the usage.
foreach(program ${work}/build/read_file ${work}/build_c/read_file_c ${work}/by_pkg_config ${work}/by_pkg_config_c
        ${work}/shuffle_loader ${work}/footer_ranges ${work}/write_file_c)
  execute_process(COMMAND ${program} RESULT_VARIABLE result ERROR_VARIABLE said)
  if(NOT result EQUAL 2 OR NOT said MATCHES "usage")
    message(FATAL_ERROR "${program} ended with ${result}: ${said}")
  endif()
  execute_process(COMMAND ${program} nonsense /a RESULT_VARIABLE result ERROR_VARIABLE said)
  if(NOT result EQUAL 2 OR NOT said MATCHES "nonsense")
    message(FATAL_ERROR "${program} with a wrong address ended with ${result}: ${said}")
  endif()
endforeach()
