# find_package(gantry-sdk) after `./dev install PREFIX`: gantry::sdk (the headers), gantry::gantry (the host, which checks
# plugins), gantry::gantry-describe, and gantry_add_plugin(NAME SOURCES...).
include(CMakeFindDependencyMacro)

# What a plugin in C++ needs besides; one in C needs nothing.
get_property(gantry_languages GLOBAL PROPERTY ENABLED_LANGUAGES)
set(gantry_missing)
if("CXX" IN_LIST gantry_languages)
  find_package(Boost 1.81 QUIET)
  find_package(nlohmann_json 3.11 QUIET)
  if(NOT Boost_FOUND)
    string(APPEND gantry_missing " Boost.Describe, version 1.81 or later (Debian: libboost1.81-dev).")
  endif()
  if(NOT nlohmann_json_FOUND)
    string(APPEND gantry_missing " nlohmann_json, version 3.11 or later (Debian: nlohmann-json3-dev).")
  endif()
endif()
if(gantry_missing)
  set(gantry-sdk_FOUND FALSE)
  set(gantry-sdk_NOT_FOUND_MESSAGE "a plugin in C++ needs these as well:${gantry_missing}")
  return()
endif()
find_dependency(Threads)

include(${CMAKE_CURRENT_LIST_DIR}/gantry-sdk-targets.cmake)
if("CXX" IN_LIST gantry_languages)
  target_link_libraries(gantry::sdk INTERFACE Boost::headers nlohmann_json::nlohmann_json)
endif()

# On when the host that was found can check.
get_target_property(gantry_program gantry::gantry LOCATION)
execute_process(COMMAND ${gantry_program} plugin --help OUTPUT_VARIABLE gantry_verbs ERROR_QUIET)
string(REGEX MATCH "\n +check " gantry_verb "${gantry_verbs}")
set(gantry_checks OFF)
if(gantry_verb)
  set(gantry_checks ON)
endif()
option(GANTRY_CHECK "run `gantry plugin check` on each plugin that is built" ${gantry_checks})

include(${CMAKE_CURRENT_LIST_DIR}/gantry_add_plugin.cmake)
