if(TARGET lsp)
  add_executable(lsp_fake_server lsp_fake_server.cpp)
  target_link_libraries(lsp_fake_server PRIVATE gantry::sdk)
  gantry_use_pch(lsp_fake_server)
  set_target_properties(lsp_fake_server PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)

  set(LSP_DIR ${CMAKE_SOURCE_DIR}/plugins/lsp)
  gantry_add_test(test_lsp
    lsp_parts.cpp lsp_watch.cpp lsp_reactor.cpp lsp_attach.cpp lsp_editor.cpp lsp_request.cpp lsp_disk.cpp lsp_starting.cpp lsp_open_documents.cpp lsp_quiet.cpp lsp_retry.cpp lsp_faults.cpp lsp_recovery.cpp lsp_clangd.cpp lsp_dialects.cpp
    ${LSP_DIR}/config.cpp ${LSP_DIR}/documents.cpp ${LSP_DIR}/envelope.cpp ${LSP_DIR}/files.cpp ${LSP_DIR}/process.cpp
    ${LSP_DIR}/reactor.cpp ${LSP_DIR}/standing.cpp ${LSP_DIR}/watch.cpp
    LIBS simdjson::simdjson gantry_services LABELS concurrency)
  target_include_directories(test_lsp PRIVATE ${LSP_DIR})
  add_dependencies(test_lsp gantry lsp lsp_fake_server)
endif()
