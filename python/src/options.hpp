// Options that Python passes by name.
#pragma once

#include <pybind11/stl.h>

#include <string>

namespace ritz::python {

namespace py = pybind11;

/// Writes the entries of `given` into the options of the same names; all must be used.
template <class Options>
Options read_options(const py::dict& given) {
  Options opt;
  py::set unknown(given);
  opt.visit([&]<class V>(const char* name, V& value) {
    if (!given.contains(name)) return;
    value = given[name].template cast<V>();
    unknown.attr("discard")(name);
  });
  if (!unknown.empty()) {
    throw py::type_error("this method has no option " +
                         py::cast<std::string>(py::repr(*unknown.begin())));
  }
  return opt;
}

}  // namespace ritz::python
