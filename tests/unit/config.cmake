gantry_add_test(test_config config_values.cpp config_errors.cpp config_syntax.cpp config_show.cpp config_file.cpp config_grants.cpp config_schema.cpp
                LIBS gantry_config)
gantry_add_test(test_log log_text.cpp log_file.cpp log_stderr.cpp LIBS gantry_observe LABELS concurrency)
