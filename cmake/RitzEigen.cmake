# Eigen3::Eigen, in order: an installed Eigen (system, conda, -DEigen3_ROOT), the PyPI package
# `cmeel-eigen` of the active Python, or a download when RITZ_FETCH_EIGEN=ON.
option(RITZ_FETCH_EIGEN "Download Eigen when none is found" OFF)

find_package(Eigen3 CONFIG QUIET PATH_SUFFIXES cmeel.prefix/share/eigen3/cmake)
if(NOT Eigen3_FOUND)
  find_package(Python QUIET COMPONENTS Interpreter)
  if(Python_FOUND)
    find_package(Eigen3 CONFIG QUIET HINTS "${Python_SITELIB}"
                 PATH_SUFFIXES cmeel.prefix/share/eigen3/cmake)
  endif()
endif()
if(NOT Eigen3_FOUND AND RITZ_FETCH_EIGEN)
  include(FetchContent)
  FetchContent_Declare(
    Eigen3
    GIT_REPOSITORY https://gitlab.com/libeigen/eigen.git
    GIT_TAG 3.4.0
    GIT_SHALLOW TRUE
    SOURCE_SUBDIR cmake # headers only: Eigen's own targets and tests stay out of this build
    SYSTEM)
  FetchContent_MakeAvailable(Eigen3)
  add_library(ritz_eigen INTERFACE)
  add_library(Eigen3::Eigen ALIAS ritz_eigen)
  target_include_directories(ritz_eigen SYSTEM INTERFACE "${eigen3_SOURCE_DIR}")
elseif(NOT Eigen3_FOUND OR Eigen3_VERSION VERSION_LESS 3.4)
  message(FATAL_ERROR "ritz needs Eigen >= 3.4: `pip install cmeel-eigen`, "
                      "`apt install libeigen3-dev`, or -DRITZ_FETCH_EIGEN=ON")
endif()
