#include <pybind11/complex.h>
#include "bind.hpp"

namespace ritz::python {

void bind_c8(py::module_& m) {
  bind_operators<std::complex<float>>(m);
  bind_methods<std::complex<float>>(m);
}

}  // namespace ritz::python
