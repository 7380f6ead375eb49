gantry_add_test(test_sdk sdk_channels.cpp sdk_plugin.cpp LABELS concurrency)
