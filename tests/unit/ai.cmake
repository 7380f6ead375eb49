gantry_add_test(test_ai ai_config.cpp ai_embedded.cpp ai_fault_server.cpp ai_limits.cpp ai_manager.cpp ai_provider.cpp
                ai_retry.cpp ai_sse.cpp ai_stream.cpp ai_workspace.cpp
                LIBS gantry_ai_core LABELS concurrency)
add_dependencies(test_ai ai)
