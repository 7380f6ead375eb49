gantry_add_test(test_host
  host_abi.cpp
  host_bad.cpp
  host_bus.cpp
  host_bus_ends.cpp
  host_calls.cpp
  host_calls_back.cpp
  host_child.cpp
  host_door.cpp
  host_door_calls.cpp
  host_ends.cpp
  host_envelope.cpp
  host_graph.cpp
  host_grants.cpp
  host_hung.cpp
  host_key_commands.cpp
  host_libraries.cpp
  host_outbox.cpp
  host_activation.cpp
  host_places.cpp
  host_plugin_alone.cpp
  host_plugin_tasks.cpp
  host_plugins.cpp
  host_reload.cpp
  host_reload_ends.cpp
  host_reload_streams.cpp
  host_restarts.cpp
  host_router.cpp
  host_spawner.cpp
  host_streams.cpp
  host_stress.cpp
  host_supervisor.cpp
  host_system.cpp
  host_task_abandoned.cpp
  host_task_ends.cpp
  host_task_restart.cpp
  host_task_tree.cpp
  host_timers.cpp
  host_typed.cpp
  host_worker_turns.cpp
  host_workers.cpp
  launcher_life.cpp
  launcher_profile.cpp
  sandbox_calls.cpp
  sandbox_output.cpp
  sandbox_paths.cpp
  LIBS gantry_cli LABELS concurrency)
add_dependencies(test_host gantry
  echo faulty busy hasty plain clingy meddler leaning lsp_shaped slow_stream ledger typed resumed v1 bad
  prober asker keyed keeper loafer key_holder not_a_plugin other_abi other_magic)
get_property(mortal_plugins GLOBAL PROPERTY GANTRY_MORTAL_PLUGINS)
add_dependencies(test_host ${mortal_plugins})
get_property(starter_plugins GLOBAL PROPERTY GANTRY_STARTER_PLUGINS)
add_dependencies(test_host ${starter_plugins})
get_property(swap_plugins GLOBAL PROPERTY GANTRY_SWAP_PLUGINS)
add_dependencies(test_host ${swap_plugins})

# The same plugins in processes of their own: what passes here and above is one promise kept twice. What is tagged
# [clock] moves the clock of the host, which is not a child's.
foreach(part plugins stream router calls abi grants "plugin tasks")
  catch_discover_tests(test_host DISCOVERY_MODE PRE_TEST TEST_PREFIX "child-" TEST_SPEC "${part}:*" "~[clock]" EXTRA_ARGS -w NoTests
                       PROPERTIES TIMEOUT 120 SKIP_RETURN_CODE 77 LABELS concurrency ENVIRONMENT GANTRY_TEST_ISOLATION=child)
endforeach()
