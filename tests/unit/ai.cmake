gantry_add_test(test_ai ai_config.cpp ai_embedded.cpp ai_fault_server.cpp ai_forms.cpp ai_keys.cpp ai_limits.cpp ai_manager.cpp ai_permits.cpp ai_provider.cpp
                ai_request.cpp ai_retry.cpp ai_sse.cpp ai_stream.cpp ai_workspace.cpp
                LIBS gantry_ai_core LABELS concurrency)
# Beside the programs that they are measured by, or that stand in for a server's: git, npm's openai, openssl.
gantry_add_test(test_ai_peers ai_certificates.cpp ai_fault_server.cpp ai_gitignore.cpp ai_official.cpp LIBS gantry_ai_core NEEDS npm)
add_dependencies(test_ai ai)
add_dependencies(test_ai_peers ai)
