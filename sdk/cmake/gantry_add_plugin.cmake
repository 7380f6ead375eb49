# gantry_add_plugin(NAME SOURCES...)
#
# Builds NAME.so, which exports `gantry_entry` and nothing else, into <build>/plugins, and writes its manifest NAME.json
# beside it by running the plugin's `describe` in a process of its own.
set(GANTRY_SDK_CMAKE_DIR ${CMAKE_CURRENT_LIST_DIR})

function(gantry_add_plugin name)
  cmake_parse_arguments(ARG "" "OUTPUT_DIRECTORY" "" ${ARGN})
  if(NOT ARG_OUTPUT_DIRECTORY)
    set(ARG_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/plugins)
  endif()
  add_library(${name} MODULE ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE gantry::sdk)
  target_compile_options(${name} PRIVATE -fPIC -fvisibility=hidden -fvisibility-inlines-hidden
                         $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique>)
  target_link_options(${name} PRIVATE -Wl,--version-script=${GANTRY_SDK_CMAKE_DIR}/plugin.map)
  set_target_properties(${name} PROPERTIES PREFIX "" SUFFIX ".so" DEFINE_SYMBOL ""
                        LIBRARY_OUTPUT_DIRECTORY ${ARG_OUTPUT_DIRECTORY})
  add_custom_command(TARGET ${name} POST_BUILD
    COMMAND gantry-describe $<TARGET_FILE:${name}> ${ARG_OUTPUT_DIRECTORY}/${name}.json
    VERBATIM)
  add_dependencies(${name} gantry-describe)
endfunction()
