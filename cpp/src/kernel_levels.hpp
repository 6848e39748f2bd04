// The tables that kernels.inl defines, one for each level it is compiled for.
#pragma once

#include "ritz/space/kernel_table.hpp"

namespace ritz::kernels {
namespace base {
extern const Tables tables;
}
namespace v3 {
extern const Tables tables;
}
namespace v4 {
extern const Tables tables;
}
}  // namespace ritz::kernels
