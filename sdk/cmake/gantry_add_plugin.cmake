# gantry_add_plugin(NAME SOURCES... [OUTPUT_DIRECTORY DIR])
#
# Builds NAME.so, which exports `gantry_entry` and nothing else, and writes its manifest NAME.json beside it, by running
# the plugin's `describe` in a process of its own. Both lie in DIR, else in CMAKE_LIBRARY_OUTPUT_DIRECTORY, else in
# <build>/plugins. C++ sources are compiled as C++23. With GANTRY_CHECK on, the build fails when `gantry plugin check` finds
# something wrong.
set(GANTRY_SDK_CMAKE_DIR ${CMAKE_CURRENT_LIST_DIR})

function(gantry_add_plugin name)
  cmake_parse_arguments(ARG "" "OUTPUT_DIRECTORY" "" ${ARGN})
  if(NOT ARG_OUTPUT_DIRECTORY)
    set(ARG_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/plugins)
    if(CMAKE_LIBRARY_OUTPUT_DIRECTORY)
      set(ARG_OUTPUT_DIRECTORY ${CMAKE_LIBRARY_OUTPUT_DIRECTORY})
    endif()
  endif()
  add_library(${name} MODULE ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE gantry::sdk)
  target_compile_options(${name} PRIVATE -fPIC -fvisibility=hidden
                         $<$<COMPILE_LANGUAGE:CXX>:-fvisibility-inlines-hidden>
                         $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fno-gnu-unique>)
  target_link_options(${name} PRIVATE -Wl,--version-script=${GANTRY_SDK_CMAKE_DIR}/plugin.map)
  set_target_properties(${name} PROPERTIES PREFIX "" SUFFIX ".so" DEFINE_SYMBOL ""
                        CXX_STANDARD 23 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS OFF
                        LIBRARY_OUTPUT_DIRECTORY ${ARG_OUTPUT_DIRECTORY})
  set(check)
  if(GANTRY_CHECK)
    set(check COMMAND $<TARGET_FILE:gantry::gantry> plugin check $<TARGET_FILE:${name}>)
  endif()
  add_custom_command(TARGET ${name} POST_BUILD
    COMMAND $<TARGET_FILE:gantry::gantry-describe> $<TARGET_FILE:${name}> ${ARG_OUTPUT_DIRECTORY}/${name}.json
    ${check}
    VERBATIM)
endfunction()
