#include "bind_methods.hpp"

namespace ritz::python {

void bind_lobpcg(const ElementTypes&) {}

}  // namespace ritz::python
