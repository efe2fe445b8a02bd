# Compiles llama.cpp in less time, on two cores llama-cpp-python in 1.5 minutes instead of 3.8 and llama-server in 3.4
# instead of 5.3: what nobody uses is left out, and small files are compiled together, because each of them reads the
# same large headers again. In: the llama.cpp source of the locked llama-cpp-python. Changes no option that a user could
# notice; ggml, where inference spends its time, is compiled as its authors wrote it, but for one file that GCC breaks.
#
# CMake reads this file where llama.cpp's project begins: -DCMAKE_PROJECT_llama.cpp_INCLUDE=<this file>

# llama-cpp-python forces its build on, and neither installs the library for use nor loads it.
if(NOT PROJECT_IS_TOP_LEVEL)
  set(LLAMA_BUILD_COMMON OFF)
endif()

# Once every target is known. With eight files at a time the largest unit takes one core 40 s.
function(compile_small_files_together)
  set(source ${CMAKE_CURRENT_SOURCE_DIR})
  foreach(target llama llama-common mtmd server-context llama-server-impl)
    if(TARGET ${target})
      set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
    endif()
  endforeach()
  if(TARGET llama)
    file(GLOB core_files ${source}/src/*.cpp)
    set_source_files_properties(${core_files} TARGET_DIRECTORY llama PROPERTIES SKIP_UNITY_BUILD_INCLUSION OFF)
  endif()
  # These refuse company: one specializes a template that others use, two forbid headers of mtmd's other files.
  compile_alone(llama-common ${source}/common/json.cpp)
  compile_alone(mtmd ${source}/tools/mtmd/mtmd-helper.cpp ${source}/tools/mtmd/mtmd-helper-gen.cpp)
  # As large as eight others.
  compile_alone(llama-common ${source}/common/arg.cpp)
endfunction()

function(compile_alone target)
  if(TARGET ${target})
    set_source_files_properties(${ARGN} TARGET_DIRECTORY ${target} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  endif()
endfunction()

# What serves is large, and waits for the engine and for sockets: its three largest units took 128 s of a core to compile,
# and take 73 s. A token of a model of 2 MB costs the server 0.45 ms either way.
function(optimize_service_less)
  foreach(target llama-common server-context llama-server-impl cpp-httplib)
    if(TARGET ${target})
      target_compile_options(${target} PRIVATE -O1)
    endif()
  endforeach()
endfunction()

# GCC 12 takes the stores of AMX's tile configuration for dead, because its intrinsic names only the first bytes as read:
# the first token is then a general protection fault in ggml_backend_amx_mul_mat. Without the two passes that remove
# stores this file keeps AMX, which is 2.6 to 3.5 times as fast there as building without it.
function(keep_tile_configuration)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND TARGET ggml-cpu)
    get_target_property(folder ggml-cpu SOURCE_DIR)
    set_source_files_properties(${folder}/ggml-cpu/amx/mmq.cpp TARGET_DIRECTORY ggml-cpu
      PROPERTIES COMPILE_OPTIONS "-fno-tree-dse;-fno-dse")
  endif()
endfunction()

# libllama.so for llama-cpp-python, out of the archives that llama-server is linked from: nothing is compiled twice.
function(add_whole_library)
  if(NOT TARGET llama)
    return()
  endif()
  file(WRITE ${CMAKE_BINARY_DIR}/whole.cpp "")
  add_library(llama-whole SHARED EXCLUDE_FROM_ALL ${CMAKE_BINARY_DIR}/whole.cpp)
  set_target_properties(llama-whole PROPERTIES OUTPUT_NAME llama LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/whole)
  set(archives llama ggml ggml-cpu ggml-base)
  list(TRANSFORM archives REPLACE "(.+)" "$<TARGET_FILE:\\1>" OUTPUT_VARIABLE files)
  target_link_options(llama-whole PRIVATE LINKER:--whole-archive ${files} LINKER:--no-whole-archive)
  target_link_libraries(llama-whole PRIVATE llama)
  add_dependencies(llama-whole ${archives})
endfunction()

function(leave_out_unused_libraries)
  foreach(target cpp-httplib vendor-hash)
    if(TARGET ${target})
      set_target_properties(${target} PROPERTIES EXCLUDE_FROM_ALL ON)
    endif()
  endforeach()
endfunction()

cmake_language(DEFER CALL compile_small_files_together)
cmake_language(DEFER CALL optimize_service_less)
cmake_language(DEFER CALL keep_tile_configuration)
if(PROJECT_IS_TOP_LEVEL)
  cmake_language(DEFER CALL add_whole_library)
else()
  cmake_language(DEFER CALL leave_out_unused_libraries)
endif()
