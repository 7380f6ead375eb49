gantry_add_test(test_check check_values.cpp LIBS gantry_check)
