# Warnings for ritz's own sources; never part of what a consumer of the library compiles with.
# Whether they are errors is the presets' business (CMAKE_COMPILE_WARNING_AS_ERROR).
add_library(ritz_warnings INTERFACE)
target_compile_options(
  ritz_warnings
  INTERFACE
    "$<$<CXX_COMPILER_ID:GNU,Clang,AppleClang>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wconversion>"
    "$<$<CXX_COMPILER_ID:MSVC>:/W4>")
