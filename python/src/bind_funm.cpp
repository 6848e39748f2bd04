#include "bind_methods.hpp"

namespace ritz::python {

void bind_funm(const ElementTypes&) {}

}  // namespace ritz::python
