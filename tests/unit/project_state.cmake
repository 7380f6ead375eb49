add_executable(state_child state_child.cpp)
target_link_libraries(state_child PRIVATE gantry::sdk ${CMAKE_DL_LIBS})
target_include_directories(state_child PRIVATE ${PROJECT_SOURCE_DIR}/tests)
gantry_use_pch(state_child)
set_target_properties(state_child PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)

gantry_add_test(test_project_state state_sessions.cpp state_settings.cpp state_store.cpp state_open.cpp state_crash.cpp
  state_faults.cpp LIBS SQLite::SQLite3)
add_dependencies(test_project_state project_state state_child)
