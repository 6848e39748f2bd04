# ritz_kernel_sources: the vector kernels, the same text compiled once for each instruction set
# level. The library picks a level when it is loaded, so one binary serves every machine; away from
# x86-64 the base level is the only one.
set(ritz_kernel_sources cpp/src/kernels_base.cpp)
# -O3 in every build type: at lower levels the loops are not vectorised, and functions of headers may
# stay calls, of which the linker could keep the copy that the running processor cannot execute.
# Fusing a*b+c is allowed in the kernels alone: the levels need not agree to the last bit.
set(ritz_kernel_options -O3 -ffp-contract=fast -fno-math-errno)
if(RITZ_SANITIZE MATCHES "undefined")
  # Its checks would triple the minutes that optimising these files takes under AddressSanitizer.
  list(APPEND ritz_kernel_options -fno-sanitize=undefined)
endif()
set_source_files_properties(cpp/src/kernels_base.cpp PROPERTIES COMPILE_OPTIONS
                                                                "${ritz_kernel_options}")

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  foreach(level v3 v4)
    list(APPEND ritz_kernel_sources cpp/src/kernels_${level}.cpp)
    set_source_files_properties(
      cpp/src/kernels_${level}.cpp PROPERTIES COMPILE_OPTIONS
                                              "-march=x86-64-${level};${ritz_kernel_options}")
  endforeach()
endif()
