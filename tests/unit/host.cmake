gantry_add_test(test_host
  bus/event_bus.cpp
  bus/event_bus_ends.cpp
  calls/app_state.cpp
  calls/calls_back.cpp
  calls/plugin_calls.cpp
  calls/streams.cpp
  daemon/places.cpp
  daemon/system.cpp
  plugins/abi.cpp
  plugins/alone.cpp
  plugins/bad.cpp
  plugins/call_table.cpp
  plugins/child.cpp
  plugins/child_output.cpp
  plugins/hung.cpp
  plugins/libraries.cpp
  plugins/plugin_call.cpp
  plugins/stress.cpp
  plugins/typed.cpp
  processes/key_commands.cpp
  processes/launcher_life.cpp
  processes/launcher_profile.cpp
  protocols/lsp/merged_servers.cpp
  protocols/rpc/call_costs.cpp
  protocols/rpc/calls.cpp
  protocols/rpc/envelope.cpp
  protocols/rpc/live_sync.cpp
  protocols/rpc/unix_server.cpp
  router/router.cpp
  runtime/outbox.cpp
  runtime/spawner.cpp
  runtime/timers.cpp
  runtime/worker_turns.cpp
  runtime/workers.cpp
  sandbox/calls.cpp
  sandbox/paths.cpp
  services/activation.cpp
  services/ends.cpp
  services/plugin_jobs.cpp
  services/plugin_life.cpp
  services/plugin_simulation.cpp
  services/plugin_graph.cpp
  services/plugin_tasks.cpp
  services/plugins.cpp
  services/reload.cpp
  services/reload_ends.cpp
  services/reload_streams.cpp
  services/restarts.cpp
  tasks/abandoned.cpp
  tasks/ends.cpp
  tasks/restart.cpp
  tasks/supervisor.cpp
  tasks/tree.cpp
  trust/grants.cpp
  LIBS gantry_cli LABELS concurrency TIMEOUT 900)  # ./dev full simulates ten times as much
add_dependencies(test_host gantry
  echo faulty busy hasty plain clingy meddler leaning lsp_shaped slow_stream ledger chronicle typed resumed v1 bad stateful project_state ai
  quick prober asker keyed keeper loafer key_holder not_a_plugin other_abi other_magic)
# Plugins that are loaded into the test find it.
target_link_options(test_host PRIVATE -Wl,--export-dynamic-symbol=gantry_test_lock_taken)
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
