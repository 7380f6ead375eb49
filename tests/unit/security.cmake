gantry_add_test(test_security security_calls.cpp security_paths.cpp security_plugins.cpp security_limits.cpp LIBS gantry_cli)
add_dependencies(test_security gantry project_state echo faulty lsp_shaped prober asker keeper loafer)
