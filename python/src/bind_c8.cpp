#include <pybind11/complex.h>
#include "bind.hpp"
#include "bind_linear.hpp"
#include "bind_methods.hpp"
#include "bind_shifts.hpp"

namespace ritz::python {

void bind_c8(py::module_ m) {
  bind_operators<std::complex<float>>(m);
  bind_linear<std::complex<float>>(m);
  bind_shifts<std::complex<float>>(m);
}

}  // namespace ritz::python
