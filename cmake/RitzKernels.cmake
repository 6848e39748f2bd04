# ritz_kernel_sources: the vector kernels, the same text compiled once for each instruction set
# level. The library picks a level when it is loaded, so one binary serves every machine; away from
# x86-64 the base level is the only one.
set(ritz_kernel_sources cpp/src/kernels_base.cpp)
# -O3 in every build type: at lower levels the loops are not vectorised, and functions of headers may
# stay calls, of which the linker could keep the copy that the running processor cannot execute.
# Fusing a*b+c is allowed in the kernels alone: the levels need not agree to the last bit.
set(ritz_kernel_options -O3 -ffp-contract=fast -fno-math-errno)
set(ritz_kernel_levels v3 v4) # above the base level, in this order
if(RITZ_SANITIZE)
  # One text makes all levels, so two show what its accesses depend on; races depend on none. The
  # optimiser, checks of values and checks inline take minutes. (The processor must be of level v3.)
  list(TRANSFORM ritz_kernel_options REPLACE "^-O3$" "-O1")
  list(APPEND ritz_kernel_options -fno-sanitize=undefined)
  if(RITZ_SANITIZE MATCHES "thread")
    set(ritz_kernel_levels)
  else()
    set(ritz_kernel_levels v3)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      list(APPEND ritz_kernel_options --param=asan-instrumentation-with-call-threshold=0)
    endif()
  endif()
endif()
if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(ritz_kernel_levels)
endif()
set_source_files_properties(cpp/src/kernels_base.cpp PROPERTIES COMPILE_OPTIONS
                                                                "${ritz_kernel_options}")

foreach(level IN LISTS ritz_kernel_levels)
  list(APPEND ritz_kernel_sources cpp/src/kernels_${level}.cpp)
  set_source_files_properties(
    cpp/src/kernels_${level}.cpp PROPERTIES COMPILE_OPTIONS
                                            "-march=x86-64-${level};${ritz_kernel_options}")
endforeach()
list(LENGTH ritz_kernel_levels above_base)
set_source_files_properties(cpp/src/dispatch.cpp PROPERTIES COMPILE_DEFINITIONS
                                                            RITZ_LEVELS_ABOVE_BASE=${above_base})
