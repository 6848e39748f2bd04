// The methods of one element type on one stream of a device: the place where their vectors are.
#pragma once

#include "bind_methods.hpp"
#include "device_array.hpp"
#include "place.hpp"
#include "ritz/space/cuda.hpp"

namespace ritz::python {

/// Not the host's Node, so that the two cannot mix.
template <Field T>
using DeviceNode = Node<T, CudaSpace<T>>;

template <Field T>
DeviceArray new_array(const std::shared_ptr<device::DeviceQueue>& queue, Index n) {
  return python::new_array(queue, type_string<T>(), sizeof(T), n);
}

/// Watches a run whose vectors the host does not see.
struct DeviceObserver {
  PythonMonitor* monitor;

  bool operator()(const Iteration& it) const {
    if (monitor->history) monitor->residuals.push_back(it.residual);
    const py::gil_scoped_acquire gil;
    if (monitor->callback.is_none()) return false;
    try {
      return py::cast<bool>(py::bool_(monitor->callback(PythonIteration(it, py::none()))));
    } catch (py::error_already_set& e) {
      if (e.matches(PyExc_StopIteration)) return true;
      throw;
    }
  }
};

inline Monitor watch_of(const PythonMonitor& monitor, const DeviceObserver& observer,
                        bool calls_python) {
  Monitor watch;
  if (monitor.history || !monitor.callback.is_none()) watch.observer = observer;
  watch.timeout = monitor.timeout;
  watch.max_products = monitor.max_products;
  // A product in Python costs more than reading a number; kernels alone want to run ahead.
  watch.check_every = calls_python ? 1 : 10;
  return watch;
}

/// Ends an operator of Python's, whose vectors may be in use on a queue that another thread works
/// on.
template <Field T>
struct EndNode {
  void operator()(DeviceNode<T>* node) const {
    const auto queue = node->space.queue().shared_from_this();
    QueueLock::of(queue)->release(std::shared_ptr<void>(std::shared_ptr<DeviceNode<T>>(node)));
  }
};

/// The methods of one element type on one stream: in Python it stands where the host's submodule
/// of that element type does.
template <Field T>
class DeviceCore {
 public:
  using Value = T;
  using N = DeviceNode<T>;
  using S = CudaSpace<T>;

  DeviceCore(std::int32_t device, std::uintptr_t stream)
      : queue_(device::DeviceQueue::of(device, reinterpret_cast<void*>(stream))) {
    device::DeviceQueue::on_wait([] {
      const py::gil_scoped_acquire gil;
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    });
  }

  /// A handle with a freeze of its own.
  S space() const { return S(queue_); }
  const std::shared_ptr<device::DeviceQueue>& queue() const { return queue_; }

  QueueLock::Hold exclusive() const { return python::exclusive(queue_); }

  /// allocate(bytes) returns an address, or raises if there is no room; release(address).
  void use_allocator(py::object allocate, py::object release) {
    const auto call = [](py::object f) {
      return std::static_pointer_cast<py::object>(keep(std::move(f)));
    };
    queue_->use_allocator(
        [f = call(std::move(allocate))](std::size_t bytes) -> void* {
          const py::gil_scoped_acquire gil;
          try {
            return reinterpret_cast<void*>((*f)(bytes).template cast<std::uintptr_t>());
          } catch (py::error_already_set&) {
            return nullptr;
          }
        },
        [f = call(std::move(release))](void* memory) {
          const py::gil_scoped_acquire gil;
          try {
            (*f)(reinterpret_cast<std::uintptr_t>(memory));
          } catch (py::error_already_set& e) {
            e.discard_as_unraisable("the release of device memory");
          }
        });
  }

  /// A workspace for Python, which may let go of it in any thread.
  AnyWorkspace lent(AnyWorkspace workspace) const {
    std::shared_ptr<void> held = std::move(workspace.workspace);
    void* const inside = held.get();
    workspace.workspace = std::shared_ptr<void>(
        inside,
        [lock = QueueLock::of(queue_), held](void*) mutable { lock->release(std::move(held)); });
    return workspace;
  }

  Made<VectorView<T>> vector(Index n) const {
    DeviceArray x = new_array<T>(queue_, n);
    const VectorView<T> inside = view_of<T>(x);
    return {py::cast(std::move(x)), inside};
  }
  /// (cols, rows) for Python: columns of the block are rows of the array.
  Made<BlockView<T>> block(Index rows, Index cols) const {
    DeviceArray X = new_array<T>(queue_, rows * cols);
    X.shape = {cols, rows};
    const BlockView<T> inside{static_cast<T*>(X.data), rows, cols, rows};
    return {py::cast(std::move(X)), inside};
  }
  /// Vᴴ for Python, (cols, rows), of a block that is not needed any more.
  py::object adjoint(const Made<BlockView<T>>& V) const {
    if constexpr (ComplexField<T>) {
      S s = space();
      const auto ones = vector(V.view.rows), conjugate = vector(V.view.rows);
      s.fill(1.0, ones.view);
      for (Index j = 0; j < V.view.cols; ++j) {
        s.fill(0.0, conjugate.view);
        s.multiply_add_conjugate(1.0, ones.view, V.view.column(j), conjugate.view);
        s.copy(conjugate.view, V.view.column(j));
      }
      queue_->flush();
    }
    return V.array;
  }
  static VectorView<const T> given(const py::object& x) {
    return view_of<T>(x.cast<const DeviceArray&>());
  }
  /// Rows (p, rows) or one vector of the caller; none for None.
  static BlockView<const T> given_columns(const py::object& X) {
    if (X.is_none()) return {};
    const auto& array = X.cast<const DeviceArray&>();
    const std::vector<Index> shape = array.dimensions();
    const Index rows = shape.back(), cols = shape.size() > 1 ? shape.front() : 1;
    return {static_cast<const T*>(array.data), rows, cols, rows};
  }

  /// run(monitor) without the GIL, and all its work handed over.
  template <class Run>
  auto watched(bool calls_python, Index, PythonMonitor& monitor, const Run& run) const {
    const DeviceObserver observer{&monitor};
    return without_gil([&] { return run(watch_of(monitor, observer, calls_python)); });
  }
  template <class Run>
  auto without_gil(const Run& run) const {
    const py::gil_scoped_release release;
    if constexpr (std::is_void_v<decltype(run())>) {
      run();
      queue_->flush();
    } else {
      auto result = run();
      queue_->flush();
      return result;
    }
  }

 private:
  std::shared_ptr<device::DeviceQueue> queue_;
};

/// The classes of ritz._core.cuda.
struct DeviceTypes {
  py::class_<DeviceCore<float>> f4;
  py::class_<DeviceCore<double>> f8;
  py::class_<DeviceCore<std::complex<float>>> c8;
  py::class_<DeviceCore<std::complex<double>>> c16;
};

/// Where methods are bound that work in host memory and on a device.
struct Places {
  ElementTypes host;
  DeviceTypes device;

  /// bind.operator()<Place>(what Python finds the methods of the place in).
  template <class Bind>
  void each(const Bind& bind) {
    host.each([&]<Field T>(py::module_ m) { bind.template operator()<HostPlace<T>>(m); });
    bind.template operator()<DeviceCore<float>>(device.f4);
    bind.template operator()<DeviceCore<double>>(device.f8);
    bind.template operator()<DeviceCore<std::complex<float>>>(device.c8);
    bind.template operator()<DeviceCore<std::complex<double>>>(device.c16);
  }
};

}  // namespace ritz::python
