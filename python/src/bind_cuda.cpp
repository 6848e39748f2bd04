// The linear solvers over vectors in device memory, and the operators that they are given.
#include "bind_linear.hpp"
#include "bind_methods.hpp"
#include "device_core.hpp"
#include "options.hpp"
#include "ritz/compiled/linear.hpp"
#include "ritz/op/device_csr.hpp"
#include "ritz/op/recorded.hpp"

namespace ritz::python {

namespace {

/// A Python callable with arrays in device memory in and out, on the queue's stream. Called with
/// the GIL.
template <Field T>
class DeviceClosure {
 public:
  DeviceClosure(py::object f, py::object adapter, CudaSpace<T> space, std::string what)
      : f_(std::move(f)),
        adapter_(std::move(adapter)),
        wrap_(adapter_.attr("wrap")),
        type_(adapter_.attr("type")),
        keeps_(adapter_.attr("cache_wrapped").cast<bool>()),
        space_(std::move(space)),
        what_(std::move(what)) {}
  DeviceClosure(const DeviceClosure&) = delete;
  ~DeviceClosure() {
    const py::gil_scoped_acquire gil;
    cache_ = {};
    type_ = wrap_ = f_ = adapter_ = py::object();
  }

  explicit operator bool() const { return !f_.is_none(); }

  // The closure's own work comes after what was collected: each of these hands that over first.

  /// y = f(x).
  void operator()(VectorView<const T> x, VectorView<T> y) const {
    const py::object in = array(const_cast<T*>(x.data), x.size);
    space_.queue().flush();
    const py::object result = call(py::make_tuple(in));
    check(result, y.size);
    const DeviceArray a = taken(result, result, y.size);
    space_.copy(VectorView<const T>(view_of<T>(a)), y);
    hold(result);
  }

  /// f(x, y) fills y.
  void fill(VectorView<const T> x, VectorView<T> y) const {
    const py::tuple both =
        py::make_tuple(array(const_cast<T*>(x.data), x.size), array(y.data, y.size));
    space_.queue().flush();
    call(both);
  }
  /// Y = f(X) on arrays (n, k), whose columns lie one after the other.
  void block(BlockView<const T> X, BlockView<T> Y) const {
    device::DeviceQueue& queue = space_.queue();
    DeviceArray in{const_cast<T*>(X.data),   X.rows * X.cols, type_string<T>(),
                   queue.shared_from_this(), nullptr,         {X.cols, X.rows}};
    if (X.ld != X.rows && X.cols > 1) {
      DeviceArray close = new_array<T>(in.queue, in.size);
      const BlockView<T> to{static_cast<T*>(close.data), X.rows, X.cols, X.rows};
      for (Index j = 0; j < X.cols; ++j) space_.copy(X.column(j), to.column(j));
      in.data = close.data;
      in.owner = std::move(close.owner);
    }
    py::object rows = py::cast(std::move(in));
    if (!wrap_.is_none()) rows = wrap_(rows);
    const py::object columns = rows.attr("T");
    queue.flush();
    const py::object result = call(py::make_tuple(columns));
    check(result, Y.rows * Y.cols);
    const DeviceArray a =
        taken(adapter_.attr("rows")(result, what_ + "'s result"), result, Y.rows * Y.cols);
    if (a.dimensions() != std::vector{Y.cols, Y.rows}) {
      throw py::value_error(what_ + " returned an array of another shape than (" +
                            std::to_string(Y.rows) + ", " + std::to_string(Y.cols) + ")");
    }
    const BlockView<const T> from{static_cast<const T*>(a.data), Y.rows, Y.cols, Y.rows};
    for (Index j = 0; j < Y.cols; ++j) space_.copy(from.column(j), Y.column(j));
    hold(py::make_tuple(columns, result, py::cast(a)));
  }

 private:
  struct Entry {
    T* data = nullptr;
    Index size = 0;
    py::object array;
  };

  void check(const py::object& result, Index size) const {
    if (result.is_none() || !py::isinstance(result, type_)) {
      adapter_.attr("reject")(result, what_, size, dtype_name<T>());
    }
    adapter_.attr("check_result")(result, what_);
  }
  DeviceArray taken(const py::object& array, const py::object& result, Index size) const {
    DeviceArray a = take_array(array, what_ + "'s result", space_.queue().shared_from_this());
    if (a.size != size || a.type != type_string<T>()) {
      adapter_.attr("reject")(result, what_, size, dtype_name<T>());
    }
    return a;
  }
  /// The memory of these is its framework's again as soon as the call returns.
  void hold(const py::object& arrays) const {
    if (space_.queue().recording()) space_.queue().keep(keep(arrays));
    space_.queue().flush();
  }

  py::object call(const py::tuple& arrays) const {
    device::DeviceQueue& queue = space_.queue();
    if (!queue.recording()) return f_(*arrays);
    return adapter_.attr("record")(f_, arrays, queue.device(),
                                   reinterpret_cast<std::uintptr_t>(queue.stream()));
  }

  py::object array(T* data, Index size) const {
    for (const Entry& e : cache_) {
      if (e.data == data && e.size == size && e.array) return e.array;
    }
    // The arrays are views of a workspace that outlives the run.
    py::object a = py::cast(
        DeviceArray{data, size, type_string<T>(), space_.queue().shared_from_this(), nullptr});
    if (!wrap_.is_none()) a = wrap_(a);
    if (keeps_) cache_[next_++ % cache_.size()] = {data, size, a};
    return a;
  }

  py::object f_, adapter_, wrap_, type_;
  bool keeps_;
  mutable CudaSpace<T> space_;
  std::string what_;
  mutable std::array<Entry, 8> cache_;
  mutable std::size_t next_ = 0;
};

/// Products that Python functions make; what they are called with are arrays of the `adapter`'s
/// framework.
template <Field T>
DeviceNode<T> closure(DeviceCore<T>& core, Index rows, Index cols, py::object matvec,
                      py::object rmatvec, py::object matmat, py::object rmatmat, bool fills,
                      const py::object& adapter, const std::string& name) {
  const auto call = [&](py::object f, const char* what) {
    return std::make_shared<DeviceClosure<T>>(std::move(f), adapter, core.space(), name + what);
  };
  return {AnyOperator<T>(ClosureOperator<T, DeviceClosure<T>>(
              rows, cols, call(std::move(matvec), "matvec"), call(std::move(rmatvec), "rmatvec"),
              call(std::move(matmat), "matmat"), call(std::move(rmatmat), "rmatmat"), fills)),
          true, core.space()};
}

template <Field T>
void use_allocator(DeviceCore<T>& core, py::object allocate, py::object release) {
  core.use_allocator(std::move(allocate), std::move(release));
}

template <Field T>
DeviceArray empty(DeviceCore<T>& core, Index n) {
  return new_array<T>(core.queue(), n);
}

/// An operator whose products the device repeats without Python.
template <Field T>
DeviceNode<T> recorded(DeviceCore<T>& core, const DeviceNode<T>& a) {
  return {AnyOperator<T>(Recorded<T, AnyOperator<T>>(core.space(), a.op)), false, core.space()};
}

template <Field T>
DeviceNode<T> identity(DeviceCore<T>& core, Index n) {
  return {AnyOperator<T>(Identity<CudaSpace<T>>(core.space(), n)), false, core.space()};
}

template <Field T>
DeviceNode<T> diagonal(DeviceCore<T>& core, const py::array_t<T, py::array::c_style>& d) {
  DeviceArray a = new_array<T>(core.queue(), d.size());
  core.queue()->upload(a.data, d.data(), static_cast<std::size_t>(d.nbytes()));
  const VectorView<const T> view = view_of<T>(a);
  return {AnyOperator<T>(Kept(Diagonal<CudaSpace<T>>(core.space(), view), a.owner)), false,
          core.space()};
}

template <Field T, class I>
DeviceNode<T> csr(DeviceCore<T>& core, Index rows, Index cols,
                  const py::array_t<I, py::array::c_style>& indptr,
                  const py::array_t<I, py::array::c_style>& indices,
                  const py::array_t<T, py::array::c_style>& data) {
  if (indptr.size() != rows + 1 || indices.size() < indptr.data()[rows] ||
      data.size() < indptr.data()[rows]) {
    throw py::value_error("indptr, indices and data do not form a compressed sparse matrix");
  }
  const CompressedRows<T, I> host{rows, cols, indptr.data(), indices.data(), data.data()};
  return {AnyOperator<T>(DeviceCsr<T>(core.space(), host)), false, core.space()};
}

template <Field T>
DeviceNode<T> block(DeviceCore<T>& core, std::vector<Index> heights, std::vector<Index> widths,
                    const std::vector<std::tuple<Index, Index, DeviceNode<T>>>& parts) {
  return block_of<T, CudaSpace<T>>(core.space(), std::move(heights), std::move(widths), parts);
}

/// A and M of a linear problem.
template <Field T>
struct LinearOperators {
  LinearOperators(const py::object& a, const py::object& m)
      : A(a.cast<const DeviceNode<T>&>().op),
        calls_python(a.cast<const DeviceNode<T>&>().calls_python) {
    if (m.is_none()) return;
    const auto& node = m.cast<const DeviceNode<T>&>();
    held.emplace(node.op);
    M = &*held;
    calls_python |= node.calls_python;
  }
  LinearOperators(const LinearOperators&) = delete;

  OperatorRef<T> A;
  std::optional<OperatorRef<T>> held;
  OptionalOperator<T> M;
  bool calls_python;
};

template <Field T>
py::dict outcome_of(DeviceCore<T>& core, AbstractStepper<T>& run) {
  py::dict outcome = as_dict(run.outcome());
  run.more([&](const char* name, double value) { outcome[name] = value; });
  if (const auto direction = run.direction(); direction.data != nullptr) {
    auto [array, view] = core.vector(direction.size);
    core.space().copy(direction, view);
    core.queue()->flush();
    outcome["direction"] = std::move(array);
  }
  return outcome;
}

template <Field T>
py::tuple solve(DeviceCore<T>& core, const std::string& method, const py::object& a,
                const py::object& m, const py::object& b, const py::object& x0,
                const py::dict& options, PythonMonitor& monitor, const py::object& workspace,
                const py::object& out, const py::object& wide) {
  using S = CudaSpace<T>;
  if (!wide.is_none()) throw py::type_error("x_dtype is for vectors in host memory");
  const LinearOperators<T> op(a, m);
  S s = core.space();
  const Index n = op.A.cols();
  const py::object x = out.is_none() ? core.vector(n).array : out;
  const VectorView<T> to = view_of<T>(x.cast<const DeviceArray&>());
  if (!x0.is_none()) {
    check_size("x0", core.given(x0).size, n);
    s.copy(core.given(x0), to);
  }
  AnyWorkspace memory = linear_workspace<S>(method, workspace);
  const auto request = linear_method<S>(method).request(options, memory);
  const VectorView<const T> from = core.given(b);
  const auto run = core.watched(op.calls_python, n, monitor, [&](const Monitor& watch) {
    auto steps = compiled::begin<S>(s, op.A, op.M, from, to, request, watch);
    while (steps->next()) {
    }
    return steps;
  });
  return py::make_tuple(x, outcome_of(core, *run));
}

/// X's rows are x0's, or zero.
template <Field T>
void start_columns(DeviceCore<T>& core, const py::object& x0, BlockView<T> X) {
  auto space = core.space();
  const BlockView<const T> from = core.given_columns(x0);
  for (Index j = 0; j < X.cols; ++j) {
    from.data == nullptr ? space.fill(0.0, X.column(j)) : space.copy(from.column(j), X.column(j));
  }
}

/// One run a column; the columns of B and X0 are the rows of (k, m) and (k, n).
template <Field T>
py::tuple solve_columns(DeviceCore<T>& core, const std::string& method, const py::object& a,
                        const py::object& m, const py::object& b, const py::object& x0,
                        const py::dict& options, const std::vector<PythonMonitor*>& monitors,
                        bool batched) {
  using S = CudaSpace<T>;
  struct Column {
    S space;  // with a freeze of its own
    AnyWorkspace memory;
    DeviceObserver observer;
    std::unique_ptr<AbstractStepper<T>> run;
  };
  const LinearOperators<T> op(a, m);
  const BlockView<const T> B = core.given_columns(b);
  auto [array, X] = core.block(op.A.cols(), B.cols);
  start_columns(core, x0, X);
  std::vector<Column> columns;
  std::vector<AbstractStepper<T>*> runs;
  columns.reserve(monitors.size());
  for (Index j = 0; j < B.cols; ++j) {
    PythonMonitor& monitor = *monitors[static_cast<std::size_t>(j)];
    Column& c = columns.emplace_back(
        Column{core.space(), linear_workspace<S>(method, py::none()), {&monitor}, nullptr});
    c.run = compiled::begin<S>(c.space, op.A, op.M, B.column(j), X.column(j),
                               linear_method<S>(method).request(options, c.memory),
                               watch_of(monitor, c.observer, op.calls_python));
    runs.push_back(c.run.get());
  }
  S space = core.space();
  core.without_gil([&] {
    if (!runs.empty()) compiled::Columns<S>::run(space, runs, op.A, op.M, batched);
  });
  py::list outcomes;
  for (const Column& c : columns) outcomes.append(outcome_of(core, *c.run));
  return py::make_tuple(array, outcomes);
}

/// One Krylov space for all columns.
template <Field T>
py::tuple solve_block(DeviceCore<T>& core, const std::string& method, const py::object& a,
                      const py::object& m, const py::object& b, const py::object& x0,
                      const py::dict& options, PythonMonitor& monitor) {
  const LinearOperators<T> op(a, m);
  const BlockView<const T> B = core.given_columns(b);
  auto [array, X] = core.block(op.A.cols(), B.cols);
  start_columns(core, x0, X);
  const BlockGmresOptions opt = block_options(options);
  std::vector<Outcome> outcomes(static_cast<std::size_t>(B.cols));
  auto space = core.space();
  core.watched(op.calls_python, X.rows, monitor, [&](const Monitor& watch) {
    compiled::Columns<CudaSpace<T>>::block_solve(block_method(method), space, op.A, op.M, B, X, opt,
                                                 watch, outcomes);
    return true;
  });
  py::list described;
  for (const Outcome& outcome : outcomes) described.append(as_dict(outcome));
  return py::make_tuple(array, described);
}

template <Field T, bool Adjoint>
py::object apply(DeviceCore<T>& core, const DeviceNode<T>& a, const py::object& x) {
  check_size("x", core.given(x).size, Adjoint ? a.op.rows() : a.op.cols());
  const auto y = core.vector(Adjoint ? a.op.cols() : a.op.rows());
  Adjoint ? a.op.apply_adjoint(core.given(x), y.view) : a.op.apply(core.given(x), y.view);
  core.queue()->flush();
  return y.array;
}

/// The same for the rows of X.
template <Field T, bool Adjoint>
py::object apply_block(DeviceCore<T>& core, const DeviceNode<T>& a, const py::object& rows) {
  const BlockView<const T> X = core.given_columns(rows);
  check_size("x", X.rows, Adjoint ? a.op.rows() : a.op.cols());
  const auto Y = core.block(Adjoint ? a.op.cols() : a.op.rows(), X.cols);
  Adjoint ? a.op.apply_adjoint_block(X, Y.view) : a.op.apply_block(X, Y.view);
  core.queue()->flush();
  return Y.array;
}

/// Vectors of one length as the rows of an array.
template <Field T>
py::object stack(DeviceCore<T>& core, const std::vector<DeviceArray>& vectors) {
  const Index n = vectors.at(0).size;
  auto [array, X] = core.block(n, static_cast<Index>(vectors.size()));
  for (Index j = 0; j < X.cols; ++j) {
    const VectorView<const T> from = view_of<T>(vectors[static_cast<std::size_t>(j)]);
    check_size("a vector", from.size, n);
    core.space().copy(from, X.column(j));
  }
  core.queue()->flush();
  return array;
}

template <Field T>
AnyWorkspace make_linear_workspace(DeviceCore<T>& core, const std::string& method, Index rows,
                                   Index cols, const py::dict& options) {
  auto space = core.space();
  return core.lent(reserved_workspace(method, space, rows, cols, options));
}

template <Field T>
py::class_<DeviceCore<T>> bind_core(py::module_& m, const char* name) {
  using Core = DeviceCore<T>;
  py::class_<DeviceNode<T>, std::unique_ptr<DeviceNode<T>, EndNode<T>>> node(
      m, (std::string("Operator_") + name).c_str());
  bind_algebra(node);
  py::class_<Core> core(m, name);
  core.def(py::init<std::int32_t, std::uintptr_t>(), py::arg("device"), py::arg("stream"))
      .def_property_readonly("Operator", [](const py::object& self) { return self; })
      .def_property_readonly("key",
                             [](const Core& c) {
                               return py::make_tuple(
                                   type_string<T>(), c.queue()->device(),
                                   reinterpret_cast<std::uintptr_t>(c.queue()->stream()));
                             })
      // What the host's submodule has and this has not.
      .def("__getattr__",
           [](const Core&, const std::string& kind) -> py::object {
             if (kind.starts_with("_")) throw py::attribute_error(kind);
             throw py::type_error("an operator made by `" + kind +
                                  "` has no product in device memory: give one whose matvec is a "
                                  "function of device arrays");
           })
      .def("take",
           [](const Core& c, const py::object& array, const std::string& what) {
             DeviceArray a = take_array(array, what, c.queue());
             if (a.type != type_string<T>()) {
               throw py::type_error(what + " has dtype " + a.type + "; this run works in " +
                                    dtype_name<T>() + ": cast it");
             }
             return a;
           })
      .def_property_readonly("waits", [](const Core& c) { return c.queue()->waits(); })
      .def_property_readonly("bytes_in_use",
                             [](const Core& c) { return c.queue()->bytes_in_use(); });
  define(core, "use_allocator", &use_allocator<T>);
  define(core, "empty", &empty<T>);
  define(core, "closure", &closure<T>);
  define(core, "recorded", &recorded<T>);
  define(core, "identity", &identity<T>);
  define(core, "diagonal", &diagonal<T>);
  define(core, "csr_int32", &csr<T, std::int32_t>);
  define(core, "csr_int64", &csr<T, std::int64_t>);
  define(core, "block", &block<T>);
  define(core, "stack", &stack<T>);
  define(core, "solve", &solve<T>);
  define(core, "solve_columns", &solve_columns<T>);
  define(core, "solve_block", &solve_block<T>);
  define(core, "apply", &apply<T, false>);
  define(core, "apply_adjoint", &apply<T, true>);
  define(core, "apply_block", &apply_block<T, false>);
  define(core, "apply_adjoint_block", &apply_block<T, true>);
  define(core, "linear_workspace", &make_linear_workspace<T>);
  return core;
}

}  // namespace

DeviceTypes bind_cuda(py::module_ m) {
  bind_device(m);
  py::module_ cuda = m.def_submodule("cuda", "The methods on vectors in device memory.");
  static py::exception<DeviceError> error(m, "DeviceError", PyExc_RuntimeError);
  static py::exception<DeviceUnavailable> unavailable(m, "DeviceUnavailable", PyExc_RuntimeError);
  static py::exception<DeviceOutOfMemory> memory(m, "DeviceOutOfMemory", PyExc_MemoryError);
  error.attr("__doc__") = "An operation failed on the device.";
  unavailable.attr("__doc__") = "A device cannot be used: why, and what to do.";
  memory.attr("__doc__") =
      "The device has no room: `bytes` were asked for, `held` are in use on the same stream.";
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const DeviceOutOfMemory& e) {
      py::object instance = py::object(memory)(py::str(e.what()));
      instance.attr("bytes") = e.bytes;
      instance.attr("held") = e.held;
      PyErr_SetObject(memory.ptr(), instance.ptr());
    } catch (const DeviceUnavailable& e) {
      py::set_error(unavailable, e.what());
    } catch (const DeviceError& e) {
      py::set_error(error, e.what());
    }
  });
  return {bind_core<float>(cuda, "f4"), bind_core<double>(cuda, "f8"),
          bind_core<std::complex<float>>(cuda, "c8"), bind_core<std::complex<double>>(cuda, "c16")};
}

}  // namespace ritz::python
