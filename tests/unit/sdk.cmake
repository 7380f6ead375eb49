gantry_add_test(test_sdk sdk_channels.cpp LABELS concurrency)
