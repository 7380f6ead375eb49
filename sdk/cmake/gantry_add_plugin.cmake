# gantry_add_plugin(NAME SOURCES... [OUTPUT_DIRECTORY DIR])
#
# Builds NAME.so, which exports `gantry_entry` and nothing else, and its manifest NAME.json, for which the plugin's
# `describe` is run in a process of its own. Both lie in DIR, else in CMAKE_LIBRARY_OUTPUT_DIRECTORY, else in
# <build>/plugins; with GANTRY_CHECK on, only once `gantry plugin check` has found nothing wrong, else the build fails and
# they stay as they were (place_plugin.sh). $<TARGET_FILE:NAME> is what was linked, without a manifest and unchecked: name
# DIR/NAME.so. C++ sources are compiled as C++23.
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
                        LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/${name}.linked)
  set(check)
  if(GANTRY_CHECK)
    set(check $<TARGET_FILE:gantry::gantry>)
  endif()
  add_custom_command(TARGET ${name} POST_BUILD
    COMMAND sh ${GANTRY_SDK_CMAKE_DIR}/place_plugin.sh $<TARGET_FILE:${name}> ${ARG_OUTPUT_DIRECTORY}
            $<TARGET_FILE:gantry::gantry-describe> ${check}
    BYPRODUCTS ${ARG_OUTPUT_DIRECTORY}/${name}.so ${ARG_OUTPUT_DIRECTORY}/${name}.json
    VERBATIM)
endfunction()
