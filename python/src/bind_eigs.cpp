#include "bind_methods.hpp"

namespace ritz::python {

void bind_eigs(const ElementTypes&) {}

}  // namespace ritz::python
