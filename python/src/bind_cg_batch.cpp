// Batches of small systems, in host memory and in that of a device.
#include <pybind11/complex.h>

#include "bind_methods.hpp"
#include "device_array.hpp"
#include "monitor.hpp"
#include "operators.hpp"
#include "options.hpp"
#include "ritz/krylov/cg_batch.hpp"
#include "ritz/op/operator_ref.hpp"

namespace ritz::python {

namespace {

/// The arrays of the result, one element a system.
py::dict account(const std::vector<CgBatchSystem>& systems, const CgBatchOutcome& out) {
  const auto array = [&]<class V>(V CgBatchSystem::* member, auto as) {
    py::array_t<decltype(as)> a(static_cast<py::ssize_t>(systems.size()));
    auto* to = a.mutable_data();
    for (const CgBatchSystem& s : systems) *to++ = static_cast<decltype(as)>(s.*member);
    return a;
  };
  py::dict d;
  d["status"] = array(&CgBatchSystem::status, 0);
  d["iterations"] = array(&CgBatchSystem::iterations, Index{});
  d["residuals"] = array(&CgBatchSystem::residual, 0.0);
  d["targets"] = array(&CgBatchSystem::target, 0.0);
  d["verified"] = array(&CgBatchSystem::verified, false);
  d["products"] = out.products;
  d["seconds"] = out.seconds;
  return d;
}

/// What both sides share: `matrices`, or the function of all systems that `node` is.
template <class S, class N>
CgBatchOutcome run(S& space, const typename S::Value* matrices, const N* node,
                   BlockView<const typename S::Value> B, BlockView<typename S::Value> X,
                   BlockView<const typename S::Value> D, const CgBatchOptions& opt,
                   const Monitor& monitor, std::vector<CgBatchSystem>& systems) {
  using T = typename S::Value;
  CgBatchWorkspace<S> ws;
  const std::span<CgBatchSystem> to(systems);
  if (node != nullptr) {
    const OperatorRef<T> A(node->op);
    return cg_batch(space, FlatBatch<OperatorRef<T>>(A, B.cols, B.rows), B, X, ws, to, opt, monitor,
                    D);
  }
  return cg_batch(space, DenseBatch<S>(space, matrices, B.cols, B.rows), B, X, ws, to, opt, monitor,
                  D);
}

template <Field T>
py::tuple on_host(const py::object& a, const py::array_t<T, py::array::c_style>& b,
                  const py::object& x0, const py::object& m, const py::dict& options,
                  PythonMonitor& monitor) {
  using Array = py::array_t<T, py::array::c_style>;
  using N = Node<T>;
  HostSpace<T> space;
  const Index count = b.shape(0), n = b.shape(1);
  const auto size = static_cast<py::ssize_t>(sizeof(T));
  auto buffer = space.allocate(static_cast<std::size_t>(n * count) * sizeof(T));
  auto* const data = static_cast<T*>(buffer.get());
  const py::array_t<T> x = array_over<T>(data, {count, n}, {size * n, size}, std::move(buffer));
  if (!x0.is_none()) std::copy_n(x0.cast<Array>().data(), n * count, data);
  const auto opt = read_options<CgBatchOptions>(options);
  const N* node = py::isinstance<N>(a) ? &a.cast<const N&>() : nullptr;
  const Array matrices = node != nullptr ? Array() : a.cast<Array>();
  const Array diagonals = m.is_none() ? Array() : m.cast<Array>();
  BlockView<const T> D;
  if (!m.is_none()) D = {diagonals.data(), n, count, n};
  std::vector<CgBatchSystem> systems(static_cast<std::size_t>(count));
  CgBatchOutcome out;
  const BlockView<const T> B{b.data(), n, count, n};
  const T* const first = matrices.data();
  {
    const RunGil gil(node != nullptr && node->calls_python, n * count);
    Observer<T> observer(monitor, gil.held());
    out = run(space, first, node, B, BlockView<T>{data, n, count, n}, D, opt,
              watch(monitor, observer), systems);
  }
  return py::make_tuple(x, account(systems, out));
}

/// The arrays are on one queue; b has the shape (count, n), whatever it was taken from.
template <Field T>
py::tuple on_device(const py::object& a, const DeviceArray& b, Index count, const py::object& x0,
                    const py::object& m, const py::dict& options, PythonMonitor& monitor) {
  using N = Node<T, CudaSpace<T>>;
  const auto held = exclusive(b.queue);
  CudaSpace<T> space(b.queue);
  const Index n = count > 0 ? b.size / count : 0;
  DeviceArray x = new_array(b.queue, type_string<T>(), sizeof(T), b.size);
  x.shape = {count, n};
  if (!x0.is_none()) {
    space.copy(VectorView<const T>(view_of<T>(x0.cast<const DeviceArray&>())), view_of<T>(x));
  }
  const auto block = [&](const DeviceArray& array) {
    return BlockView<T>{static_cast<T*>(array.data), n, count, n};
  };
  const auto opt = read_options<CgBatchOptions>(options);
  const N* node = py::isinstance<N>(a) ? &a.cast<const N&>() : nullptr;
  const auto* matrices =
      node != nullptr ? nullptr : static_cast<const T*>(a.cast<const DeviceArray&>().data);
  BlockView<const T> D;
  if (!m.is_none()) D = block(m.cast<const DeviceArray&>());
  std::vector<CgBatchSystem> systems(static_cast<std::size_t>(count));
  CgBatchOutcome out;
  {
    const py::gil_scoped_release release;
    Observer<T> observer(monitor, false);
    Monitor w = watch(monitor, observer);
    w.check_every = node != nullptr && node->calls_python ? 1 : 10;
    out = run(space, matrices, node, block(b), block(x), D, opt, w, systems);
    b.queue->flush();
  }
  return py::make_tuple(std::move(x), account(systems, out));
}

template <Field T>
void bind(py::module_& m) {
  m.def("cg_batch", &on_host<T>);
  m.def("cg_batch_on_device", &on_device<T>);
}

}  // namespace

void bind_cg_batch(const ElementTypes& types) {
  types.each([]<Field T>(py::module_ m) { bind<T>(m); });
}

}  // namespace ritz::python
