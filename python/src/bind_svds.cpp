#include "bind_methods.hpp"

namespace ritz::python {

void bind_svds(const ElementTypes&) {}

}  // namespace ritz::python
