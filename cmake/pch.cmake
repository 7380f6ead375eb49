# Precompiled headers, and for builds without optimization the code in them.
#
# gantry_add_pch(NAME HEADER [LIBS ...]): precompiles HEADER, a path from this folder, with the
# include folders and definitions of LIBS.
# gantry_use_pch(TARGET [NAME]): compiles TARGET's C++ with NAME, else with gantry_pch.
#
# In a debug build, clang generates the inline functions and the template instances of a precompiled
# header once, in the static library NAME, and not again in each unit that uses them (-fpch-codegen).
# That saves more than half of the time. A release build must be free to inline and is compiled in
# the usual way.
#
# CMake's target_precompile_headers is not used. It names files by their absolute paths, so that two
# clones could not share their objects through ccache (tools/ccache.sh), and it takes the headers for a
# system's, so that nothing would be warned of in them. Here paths in a precompiled header count from
# the folder that -isysroot names (-relocatable-pch): a header of this repository is ../../sdk/... in
# each object, and the precompiled header has the same bytes wherever the clone lies.
if(CMAKE_BUILD_TYPE STREQUAL "Debug")
  set(GANTRY_PCH_CODE ON)
  # The library has the code of every inline function. Most are not called.
  add_link_options(-Wl,--gc-sections)
else()
  set(GANTRY_PCH_CODE OFF)
endif()
file(RELATIVE_PATH GANTRY_SOURCE_FROM_BUILD ${CMAKE_BINARY_DIR} ${PROJECT_SOURCE_DIR})
string(REGEX REPLACE "/$" "" GANTRY_SOURCE_FROM_BUILD ${GANTRY_SOURCE_FROM_BUILD})

function(gantry_add_pch name header)
  cmake_parse_arguments(ARG "" "" "LIBS" ${ARGN})
  # The object file of a header is the precompiled header.
  add_library(${name}_header OBJECT ${header})
  set_source_files_properties(${header} PROPERTIES LANGUAGE CXX)
  target_link_libraries(${name}_header PRIVATE ${ARG_LIBS})
  target_compile_options(${name}_header PRIVATE -xc++-header -Wno-pragma-once-outside-header
    -fpch-instantiate-templates $<$<BOOL:${GANTRY_PCH_CODE}>:-fpch-codegen>
    "SHELL:-Xclang -fno-pch-timestamp -Xclang -relocatable-pch"
    "SHELL:-Xclang -isysroot -Xclang /proc/self/cwd/${GANTRY_SOURCE_FROM_BUILD}")
  set_target_properties(${name}_header PROPERTIES
    GANTRY_PCH ${CMAKE_CURRENT_BINARY_DIR}/CMakeFiles/${name}_header.dir/${header}.o
    GANTRY_HEADER ${CMAKE_CURRENT_SOURCE_DIR}/${header})
  if(GANTRY_PCH_CODE)
    add_library(${name} STATIC ${PROJECT_SOURCE_DIR}/cmake/pch.cpp)
    target_link_libraries(${name} PRIVATE ${ARG_LIBS})
    # Generate what the precompiled header leaves to this library.
    target_compile_options(${name} PRIVATE "SHELL:-Xclang -building-pch-with-obj" -ffunction-sections)
    gantry_use_pch(${name} ${name})
  endif()
endfunction()

function(gantry_use_pch target)
  set(name gantry_pch)
  if(ARGC GREATER 1)
    set(name ${ARGV1})
  endif()
  get_target_property(pch ${name}_header GANTRY_PCH)
  get_target_property(header ${name}_header GANTRY_HEADER)
  # The target may be of another folder than the caller.
  get_target_property(folder ${target} SOURCE_DIR)
  get_target_property(sources ${target} SOURCES)
  list(TRANSFORM sources PREPEND ${folder}/ REGEX "^[^/]")
  set_property(SOURCE ${sources} TARGET_DIRECTORY ${target} APPEND PROPERTY OBJECT_DEPENDS ${pch})
  file(RELATIVE_PATH pch ${CMAKE_BINARY_DIR} ${pch})
  file(RELATIVE_PATH header ${CMAKE_BINARY_DIR} ${header})
  # -include is for clangd, which reads no precompiled headers.
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:SHELL:-include-pch ${pch} \
-include ${header} -Xclang -isysroot -Xclang ${GANTRY_SOURCE_FROM_BUILD}>")
  set_target_properties(${target} PROPERTIES DEFINE_SYMBOL "")
  if(GANTRY_PCH_CODE AND NOT target STREQUAL name)
    target_link_libraries(${target} PRIVATE ${name})
  endif()
endfunction()

gantry_add_pch(gantry_pch cmake/pch.hpp LIBS gantry::sdk Boost::headers)
