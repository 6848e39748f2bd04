#include <pybind11/complex.h>
#include "bind.hpp"
#include "bind_linear.hpp"
#include "bind_methods.hpp"
#include "bind_newton.hpp"
#include "bind_shifts.hpp"

namespace ritz::python {

void bind_f4(py::module_ m) {
  bind_operators<float>(m);
  bind_linear<float>(m);
  bind_shifts<float>(m);
  bind_newton<float>(m);
}

}  // namespace ritz::python
