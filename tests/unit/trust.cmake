gantry_add_test(test_trust trust_plugins.cpp trust_store.cpp LIBS gantry_cli LABELS concurrency)
add_dependencies(test_trust gantry echo lsp_shaped wanting_1 wanting_2 wanting_3)
