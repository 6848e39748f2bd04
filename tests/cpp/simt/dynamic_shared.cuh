// In the place of the device's: shared memory of the one block that runs at a time.
#pragma once

#include "simt.hpp"

namespace ritz::device {

inline double* dynamic_shared() { return ritz::testing::simt::shared_memory(); }

}  // namespace ritz::device
