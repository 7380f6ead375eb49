gantry_add_test(test_core core_mpsc.cpp core_channels.cpp core_coro.cpp core_locks.cpp core_lock_order.cpp core_pool.cpp core_linear.cpp core_stress.cpp core_stress_events.cpp LABELS concurrency)
