#include <pybind11/complex.h>
#include "bind.hpp"
#include "bind_linear.hpp"
#include "bind_methods.hpp"
#include "bind_newton.hpp"
#include "bind_shifts.hpp"

namespace ritz::python {

void bind_f8(py::module_ m) {
  bind_operators<double>(m);
  bind_linear<double>(m);
  bind_shifts<double>(m);
  bind_newton<double>(m);
}

}  // namespace ritz::python
