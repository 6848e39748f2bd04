#include "bind_methods.hpp"

namespace ritz::python {

void bind_quadrature(const ElementTypes&) {}

}  // namespace ritz::python
