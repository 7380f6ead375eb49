gantry_add_test(test_sdk sdk_channels.cpp sdk_lazy.cpp sdk_lazy_attempts.cpp sdk_retry.cpp sdk_framing.cpp sdk_repair.cpp sdk_plugin.cpp sdk_fields.cpp sdk_handlers.cpp sdk_testing.cpp sdk_examples.cpp LABELS concurrency)
add_dependencies(test_sdk echo faulty typed resumed lsp_shaped swap_overlap_1 hello hello_c ticker greeter)

add_test(NAME "plugin: a lifecycle member that the host could not call is refused by the compiler"
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/sdk_misuse.sh ${CMAKE_SOURCE_DIR})
