gantry_add_test(test_trust trust/plugins.cpp trust/trust_store.cpp trust/project_config.cpp trust/projects.cpp observe/trace.cpp
                LIBS gantry_cli LABELS concurrency)
add_dependencies(test_trust gantry echo faulty lsp_shaped keeper wanting_1 wanting_2 wanting_3)
if(TARGET lsp_fake_server)
  add_dependencies(test_trust lsp lsp_fake_server)
endif()
