// Signals let through by runs that have no iterations to watch.
#pragma once

#include <pybind11/pybind11.h>

#include "ritz/core/monitor.hpp"

namespace ritz::python {

/// Called often by a run that has released the GIL; every 50 ms it looks for signals, and raises
/// what their handlers did. Unlike `Observer` it reads the clock each time: what lies between two
/// calls may take microseconds at first, and then far longer.
class Signals {
 public:
  void operator()() {
    const double now = clock_.seconds();
    if (now - last_ < 0.05) return;
    last_ = now;
    const pybind11::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw pybind11::error_already_set();
  }

 private:
  Clock clock_;
  double last_ = 0.0;
};

}  // namespace ritz::python
