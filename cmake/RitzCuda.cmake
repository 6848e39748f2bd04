# The CUDA plugin, libritz_cuda: opened at run time, so that nothing else depends on CUDA. Any nvcc
# will do: one on PATH, one named by CUDACXX, or PyPI's nvidia-cuda-nvcc (with nvidia-cuda-runtime,
# nvidia-cuda-cccl, nvidia-cuda-crt and nvidia-nvvm) in the active environment.
set(RITZ_CUDA "AUTO" CACHE STRING "Build the CUDA plugin: ON, OFF, or AUTO for where nvcc is found")
set(RITZ_CUDA_ARCHITECTURES "80-real;90-real;90-virtual"
    CACHE STRING "What the CUDA plugin is compiled for, as CMAKE_CUDA_ARCHITECTURES")

set(ritz_cuda_found OFF)
if(RITZ_CUDA AND NOT RITZ_SANITIZE)
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    find_package(Python QUIET COMPONENTS Interpreter)
    find_program(
      RITZ_NVCC nvcc
      HINTS "${Python_SITELIB}/nvidia/cu13/bin" "${Python_SITELIB}/nvidia/cuda_nvcc/bin"
            /usr/local/cuda/bin)
    if(RITZ_NVCC) # so that it is tried first: one that fails is as good as none
      set(ENV{CUDACXX} "${RITZ_NVCC}")
    endif()
  endif()
  if(CMAKE_VERSION VERSION_LESS 3.28)
    message(STATUS "The CUDA plugin needs CMake 3.28: left out")
  else()
    set(CMAKE_CUDA_ARCHITECTURES "${RITZ_CUDA_ARCHITECTURES}")
    include(CheckLanguage)
    check_language(CUDA)
    if(CMAKE_CUDA_COMPILER)
      enable_language(CUDA)
      if("cuda_std_20" IN_LIST CMAKE_CUDA_COMPILE_FEATURES)
        set(ritz_cuda_found ON)
      else()
        message(STATUS "The CUDA plugin needs C++20, which nvcc has from 12.0 on: left out")
      endif()
    endif()
  endif()
  if(RITZ_CUDA STREQUAL "ON" AND NOT ritz_cuda_found)
    message(FATAL_ERROR "RITZ_CUDA is ON, but there is no nvcc that does: set CUDACXX to one")
  endif()
endif()

if(NOT ritz_cuda_found)
  add_custom_target(ritz_cuda COMMENT "No nvcc that does: the CUDA plugin is left out")
  return()
endif()

add_library(
  ritz_cuda MODULE
  cpp/cuda/backend.cpp
  cpp/cuda/kernels_f4.cu
  cpp/cuda/kernels_f8.cu
  cpp/cuda/kernels_c8.cu
  cpp/cuda/kernels_c16.cu)
target_compile_features(ritz_cuda PRIVATE cxx_std_20 cuda_std_20)
target_include_directories(ritz_cuda PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/cpp/include"
                                             "${CMAKE_CURRENT_SOURCE_DIR}/cpp/cuda")
target_link_libraries(ritz_cuda PRIVATE ${CMAKE_DL_LIBS})
target_include_directories(ritz_cuda SYSTEM PRIVATE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
# Formulas are constexpr functions, for the device and the host.
target_compile_options(ritz_cuda PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr>")
set_target_properties(
  ritz_cuda
  PROPERTIES CUDA_RUNTIME_LIBRARY Static
             CUDA_ARCHITECTURES "${RITZ_CUDA_ARCHITECTURES}"
             CXX_EXTENSIONS OFF
             CXX_VISIBILITY_PRESET hidden
             CUDA_VISIBILITY_PRESET hidden
             VISIBILITY_INLINES_HIDDEN ON
             PREFIX lib)
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  # One symbol is exported; the static runtime's are not.
  target_link_options(ritz_cuda PRIVATE LINKER:--exclude-libs,ALL)
endif()

install(TARGETS ritz_cuda LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT library
        OPTIONAL)
if(SKBUILD)
  install(TARGETS ritz_cuda LIBRARY DESTINATION ritz COMPONENT python)
endif()
