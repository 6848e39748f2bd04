// The one place where the version is written; CMake and the Python package read it from here.
#pragma once

namespace ritz {

inline constexpr const char* kVersion = "0.1.0";

}  // namespace ritz
