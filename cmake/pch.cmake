# One precompiled header for the whole tree: the standard library and nlohmann_json, which nearly every unit includes.
add_library(gantry_pch OBJECT ${CMAKE_CURRENT_LIST_DIR}/pch.cpp)
target_precompile_headers(gantry_pch PRIVATE ${CMAKE_CURRENT_LIST_DIR}/pch.hpp)

function(gantry_use_pch target)
  set_target_properties(${target} PROPERTIES DEFINE_SYMBOL "")
  target_precompile_headers(${target} REUSE_FROM gantry_pch)
endfunction()
