#include <pybind11/complex.h>
#include "bind.hpp"
#include "bind_linear.hpp"
#include "bind_methods.hpp"
#include "bind_shifts.hpp"

namespace ritz::python {

void bind_c16(py::module_ m) {
  bind_operators<std::complex<double>>(m);
  bind_linear<std::complex<double>>(m);
  bind_shifts<std::complex<double>>(m);
}

}  // namespace ritz::python
