// Where the vectors of a method are: what a binding asks of it, so that one text binds a method for
// the host's memory and for a device's.
//
// A place makes vectors and blocks for results, takes those of the caller, and runs a method under
// the eyes of a monitor. HostPlace is the host's; DeviceCore<T> (device_core.hpp) is a stream's.
#pragma once

#include <utility>

#include "monitor.hpp"
#include "operators.hpp"
#include "ritz/op/operator_ref.hpp"
#include "workspace.hpp"

namespace ritz::python {

/// A vector or a block of a result, and what Python gets for it.
template <class View>
struct Made {
  py::object array;
  View view;
};

template <Field T>
class HostPlace {
 public:
  using Value = T;
  using S = HostSpace<T>;
  using N = Node<T>;

  S& space() { return space_; }

  static AnyWorkspace lent(AnyWorkspace workspace) { return workspace; }

  Made<VectorView<T>> vector(Index n) {
    py::array_t<T> x = new_vector<T>(n);
    const VectorView<T> inside = view(x);
    return {std::move(x), inside};
  }
  /// (rows, cols) for Python.
  Made<BlockView<T>> block(Index rows, Index cols) {
    py::array_t<T> X = new_block<T>(rows, cols);
    const BlockView<T> inside{X.mutable_data(), rows, cols, rows};
    return {std::move(X), inside};
  }
  /// Vᴴ for Python, (cols, rows), of a block that is not needed any more.
  static py::object adjoint(const Made<BlockView<T>>& V) {
    return V.array.attr("conj")().attr("T");
  }
  /// What the caller gives: it lives as long as the place.
  VectorView<const T> given(const py::object& x) {
    const auto array = x.cast<py::array_t<T, py::array::c_style>>();
    kept_.append(array);
    return const_view<T>(array);
  }
  /// Columns (rows, p) of the caller; none for None.
  BlockView<const T> given_columns(const py::object& X) {
    if (X.is_none()) return {};
    const auto array = X.cast<py::array_t<T, py::array::f_style>>();
    kept_.append(array);
    return {array.data(), array.shape(0), array.shape(1), array.shape(0)};
  }

  /// run(monitor) without the GIL, unless it would be wanted all the time. `n`: the vectors'
  /// length.
  template <class Run>
  auto watched(bool calls_python, Index n, PythonMonitor& monitor, const Run& run) {
    const RunGil gil(calls_python, n);
    Observer<T> observer(monitor, gil.held());
    return run(watch(monitor, observer));
  }

 private:
  S space_;
  py::list kept_;
};

/// What run(space, A, monitor) returns for the operator of a node.
template <class Place, class Run>
auto watched(Place& place, const typename Place::N& a, PythonMonitor& monitor, const Run& run) {
  auto space = place.space();
  return place.watched(
      a.calls_python, std::max(a.op.rows(), a.op.cols()), monitor,
      [&](const Monitor& m) { return run(space, OperatorRef<typename Place::Value>(a.op), m); });
}

/// Binds f(place, …) as a function of a submodule of the host.
template <class Place, class R, class... Args>
void define(py::module_& m, const char* name, R (*f)(Place&, Args...)) {
  m.def(name, [f](Args... args) {
    Place place;
    return f(place, std::forward<Args>(args)...);
  });
}
/// Likewise as a method of a class.
template <class Place, class R, class... Args>
void define(py::class_<Place>& core, const char* name, R (*f)(Place&, Args...)) {
  core.def(name, [f](Place& place, Args... args) {
    const auto held = place.exclusive();
    return f(place, std::forward<Args>(args)...);
  });
}

}  // namespace ritz::python
