# What `./dev install PREFIX` installs: the host, its plugins, and all that a plugin author needs. The host finds the rest
# by its own place (host/cli/paths.hpp), so that the prefix may be moved.
include(CMakePackageConfigHelpers)
set(package lib/cmake/gantry-sdk)

install(TARGETS gantry gantry-describe gantry_sdk EXPORT gantry-sdk-targets RUNTIME DESTINATION bin)
foreach(plugin ai lsp project_state)
  install(TARGETS ${plugin} LIBRARY DESTINATION lib/gantry/plugins)
  install(FILES ${CMAKE_BINARY_DIR}/plugins/${plugin}.json DESTINATION lib/gantry/plugins)
endforeach()

install(DIRECTORY sdk/include/gantry DESTINATION include)
install(EXPORT gantry-sdk-targets NAMESPACE gantry:: DESTINATION ${package})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/gantry-sdk-config-version.cmake COMPATIBILITY SameMajorVersion)
install(FILES sdk/cmake/gantry-sdk-config.cmake ${CMAKE_BINARY_DIR}/gantry-sdk-config-version.cmake
              sdk/cmake/gantry_add_plugin.cmake sdk/cmake/place_plugin.sh sdk/cmake/plugin.map DESTINATION ${package})
configure_file(sdk/cmake/gantry-sdk.pc.in ${CMAKE_BINARY_DIR}/gantry-sdk.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/gantry-sdk.pc DESTINATION lib/pkgconfig)

install(DIRECTORY sdk/template plugins/examples DESTINATION share/gantry)
install(FILES config/gantry.toml docs/plugin-authors.md docs/plugin-check.md DESTINATION share/gantry)

# And in a build, where host/cli/paths.hpp looks first.
file(CREATE_LINK ${CMAKE_SOURCE_DIR}/sdk/template ${CMAKE_BINARY_DIR}/template SYMBOLIC)
