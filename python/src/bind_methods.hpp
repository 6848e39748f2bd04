// What binds the methods of one area: each file bind_<area>.cpp defines its function for all
// element types, and for devices where they can work there, so that a change of one method compiles
// one file.
#pragma once

#include <pybind11/pybind11.h>

#include "ritz/core/types.hpp"

namespace ritz::python {

namespace py = pybind11;

/// The submodules of ritz._core.
struct ElementTypes {
  py::module_ f4, f8, c8, c16;

  /// bind.operator()<T>(submodule of T) for every element type.
  template <class Bind>
  void each(const Bind& bind) const {
    bind.template operator()<float>(f4);
    bind.template operator()<double>(f8);
    bind.template operator()<std::complex<float>>(c8);
    bind.template operator()<std::complex<double>>(c16);
  }
};

void bind_f4(py::module_ m);
void bind_f8(py::module_ m);
void bind_c8(py::module_ m);
void bind_c16(py::module_ m);

struct DeviceTypes;
struct Places;
DeviceTypes bind_cuda(py::module_ m);
void bind_device(py::module_ m);

void bind_cg_batch(const ElementTypes& types);
void bind_eigs(const ElementTypes& types);
void bind_kaczmarz(const ElementTypes& types);
void bind_lstsq(const ElementTypes& types);
void bind_quadrature(const ElementTypes& types);
void bind_selection(const ElementTypes& types);
void bind_skeleton(const ElementTypes& types);
void bind_sketch(const ElementTypes& types);

void bind_eigsh(Places& places);
void bind_estimators(Places& places);
void bind_funm(Places& places);
void bind_lobpcg(Places& places);
void bind_lowrank(Places& places);
void bind_nystrom(Places& places);
void bind_svds(Places& places);

}  // namespace ritz::python
