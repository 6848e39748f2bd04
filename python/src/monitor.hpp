// Watching a run from Python: callbacks, history, signals, and who holds the GIL meanwhile.
#pragma once

#include <pybind11/stl.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "arrays.hpp"
#include "ritz/core/monitor.hpp"

namespace ritz::python {

/// What a callback receives. `x` is a read-only view of the iterate.
struct PythonIteration : Iteration {
  PythonIteration(const Iteration& it, py::object view)
      : Iteration(it), elapsed(it.seconds()), iterate(std::move(view)) {}
  double elapsed;
  py::object iterate;
};

struct PythonMonitor {
  PythonMonitor(py::object call, bool keep_history, double limit, Index products)
      : callback(std::move(call)), history(keep_history), timeout(limit), max_products(products) {}
  py::object callback;
  bool history;
  double timeout;
  Index max_products;
  std::vector<double> residuals;
};

/// Releases the GIL for a run, unless its operators need it so often that taking it back and forth
/// would cost more than it gives: with another busy Python thread every return of the GIL can wait
/// a switch interval.
class RunGil {
 public:
  static constexpr Index kLong = 32768;  // vector work of this length is worth a release

  RunGil(bool calls_python, Index n) : held_(calls_python && n < kLong) {
    if (!held_) release_.emplace();
  }
  bool held() const { return held_; }

 private:
  bool held_;
  std::optional<py::gil_scoped_release> release_;
};

/// The observer of one run: records history, calls back, and lets signals through.
template <class T>
class Observer {
 public:
  Observer(PythonMonitor& monitor, bool gil_held) : monitor_(&monitor), gil_held_(gil_held) {}

  void holds_gil(bool held) { gil_held_ = held; }

  bool operator()(const Iteration& it) {
    if (monitor_->history) monitor_->residuals.push_back(it.residual);
    if (!monitor_->callback.is_none()) return call(it);
    if (gil_held_) {
      check_signals();
    } else if (++iterations_ >= stride_) {
      check_signals_now_and_then();
    }
    return false;
  }

 private:
  static void check_signals() {
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  }

  /// Every 20 ms or so: even looking at the clock costs as much as a short iteration, so the
  /// iterations from one look to the next follow their speed.
  void check_signals_now_and_then() {
    const double elapsed = clock_.seconds() - last_look_;
    stride_ =
        elapsed < 0.005 ? std::min<Index>(2 * stride_, 4096) : std::max<Index>(stride_ / 2, 1);
    last_look_ += elapsed;
    iterations_ = 0;
    if (last_look_ - last_check_ > 0.02) {
      last_check_ = last_look_;
      const py::gil_scoped_acquire gil;
      check_signals();
    }
  }

  bool call(const Iteration& it) {
    const py::gil_scoped_acquire gil;
    check_signals();
    py::object x = py::none();
    if (it.x != nullptr) {
      auto* data = const_cast<T*>(static_cast<const T*>(it.x));
      if (auto owner = HostSpace<T>::owner(data)) {
        x = array_over<T>(data, {it.size}, {sizeof(T)}, std::move(owner));
      } else {
        x = py::array_t<T>(it.size, data);
      }
      x.attr("setflags")(py::arg("write") = false);
    }
    try {
      return py::cast<bool>(py::bool_(monitor_->callback(PythonIteration(it, std::move(x)))));
    } catch (py::error_already_set& e) {
      if (e.matches(PyExc_StopIteration)) return true;
      throw;
    }
  }

  PythonMonitor* monitor_;
  bool gil_held_;
  Clock clock_;
  double last_look_ = 0.0, last_check_ = 0.0;
  Index iterations_ = 0, stride_ = 1;
};

/// The C++ monitor of a run that `observer` watches.
template <class T>
Monitor watch(const PythonMonitor& monitor, Observer<T>& observer) {
  Monitor m;
  m.observer = observer;
  m.timeout = monitor.timeout;
  m.max_products = monitor.max_products;
  return m;
}

inline py::dict as_dict(const Outcome& out) {
  py::dict d;
  d["status"] = static_cast<int>(out.status);
  d["message"] = message(out);
  d["iterations"] = out.iterations;
  d["products"] = py::make_tuple(out.products.apply, out.products.adjoint, out.products.columns);
  d["preconditioner"] = out.preconditioner;
  d["residual"] = out.residual;
  d["target"] = out.target;
  d["verified"] = out.verified;
  d["seconds"] = out.seconds;
  return d;
}

}  // namespace ritz::python
