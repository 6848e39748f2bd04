# ritz_kernel_sources: the vector kernels, one file compiled for each instruction set level that
# this compiler can produce. The library picks a level when it is loaded, so a single binary serves
# every machine; away from x86-64 the base level is the only one.
include(CheckCXXCompilerFlag)

set(ritz_kernel_sources cpp/src/kernels_base.cpp)
set(ritz_kernel_levels base)
# Fusing a*b+c is allowed here and only here: it changes no result that two levels must share.
set(ritz_kernel_options -ffp-contract=fast -fno-math-errno)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  foreach(level v3 v4)
    check_cxx_compiler_flag(-march=x86-64-${level} RITZ_HAS_X86_64_${level})
    if(RITZ_HAS_X86_64_${level})
      list(APPEND ritz_kernel_sources cpp/src/kernels_${level}.cpp)
      list(APPEND ritz_kernel_levels ${level})
      set_source_files_properties(cpp/src/kernels_${level}.cpp
                                  PROPERTIES COMPILE_OPTIONS "-march=x86-64-${level};${ritz_kernel_options}")
    endif()
  endforeach()
endif()
set_source_files_properties(cpp/src/kernels_base.cpp PROPERTIES COMPILE_OPTIONS "${ritz_kernel_options}")
