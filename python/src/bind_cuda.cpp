// The linear solvers over vectors in device memory, and the operators that they are given.
#include "bind_eigsh.hpp"
#include "bind_linear.hpp"
#include "bind_methods.hpp"
#include "device_array.hpp"
#include "monitor.hpp"
#include "operators.hpp"
#include "options.hpp"
#include "ritz/compiled/linear.hpp"
#include "ritz/op/device_csr.hpp"
#include "ritz/op/recorded.hpp"
#include "workspace.hpp"

namespace ritz::python {

namespace {

/// A Python callable with arrays in device memory in and out, on the queue's stream.
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

  /// y = f(x), or f(x, y) fills y.
  void operator()(VectorView<const T> x, VectorView<T> y, bool fills) const {
    const py::gil_scoped_acquire gil;
    const py::object in = array(const_cast<T*>(x.data), x.size);
    const py::object out = fills ? array(y.data, y.size) : py::object();
    space_.queue().flush();  // the closure's own work comes after what was collected
    if (fills) {
      call(py::make_tuple(in, out));
      return;
    }
    const py::object result = call(py::make_tuple(in));
    if (result.is_none() || !py::isinstance(result, type_)) {
      adapter_.attr("reject")(result, what_, y.size, dtype_name<T>());
    }
    adapter_.attr("check_result")(result, what_);
    const DeviceArray a =
        take_array(result, what_ + "'s result", space_.queue().shared_from_this());
    if (a.size != y.size || a.type != type_string<T>()) {
      adapter_.attr("reject")(result, what_, y.size, dtype_name<T>());
    }
    space_.copy(VectorView<const T>(view_of<T>(a)), y);
    if (space_.queue().recording()) space_.queue().keep(keep(result));
    // The result's memory is its framework's again as soon as this returns.
    space_.queue().flush();
  }

 private:
  struct Entry {
    T* data = nullptr;
    Index size = 0;
    py::object array;
  };

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

template <Field T>
class DeviceClosureOperator {
 public:
  using Call = std::shared_ptr<DeviceClosure<T>>;
  DeviceClosureOperator(Index rows, Index cols, Call matvec, Call rmatvec, bool fills)
      : rows_(rows),
        cols_(cols),
        matvec_(std::move(matvec)),
        rmatvec_(std::move(rmatvec)),
        fills_(fills) {}

  Index rows() const { return rows_; }
  Index cols() const { return cols_; }
  bool has_adjoint() const { return static_cast<bool>(*rmatvec_); }
  void apply(VectorView<const T> x, VectorView<T> y) const { (*matvec_)(x, y, fills_); }
  void apply_adjoint(VectorView<const T> x, VectorView<T> y) const { (*rmatvec_)(x, y, fills_); }

 private:
  Index rows_, cols_;
  Call matvec_, rmatvec_;
  bool fills_;
};

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

/// The methods of one element type on one stream: in Python it stands where the host's submodule
/// of that element type does.
template <Field T>
class DeviceCore {
 public:
  using N = DeviceNode<T>;
  using S = CudaSpace<T>;

  DeviceCore(std::int32_t device, std::uintptr_t stream)
      : queue_(device::DeviceQueue::of(device, reinterpret_cast<void*>(stream))) {
    device::DeviceQueue::on_wait([] {
      const py::gil_scoped_acquire gil;
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    });
  }

  S space() const { return S(queue_); }
  const std::shared_ptr<device::DeviceQueue>& queue() const { return queue_; }

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

  N closure(Index rows, Index cols, py::object matvec, py::object rmatvec, const py::object&,
            const py::object&, bool fills, const py::object& adapter, const std::string& name) {
    if (matvec.is_none()) {
      throw py::type_error(name +
                           "has no matvec: products with blocks alone are not called on a "
                           "device yet");
    }
    const auto call = [&](py::object f, const char* what) {
      return std::make_shared<DeviceClosure<T>>(std::move(f), adapter, space(), name + what);
    };
    return {AnyOperator<T>(DeviceClosureOperator<T>(rows, cols, call(std::move(matvec), "matvec"),
                                                    call(std::move(rmatvec), "rmatvec"), fills)),
            true, space()};
  }

  /// An operator whose products the device repeats without Python.
  N recorded(const N& a) {
    return {AnyOperator<T>(Recorded<T, AnyOperator<T>>(space(), a.op)), false, space()};
  }

  N diagonal(const py::array_t<T, py::array::c_style>& d) {
    DeviceArray a = new_array<T>(queue_, d.size());
    queue_->upload(a.data, d.data(), static_cast<std::size_t>(d.nbytes()));
    const VectorView<const T> view = view_of<T>(a);
    return {AnyOperator<T>(Kept(Diagonal<S>(space(), view), a.owner)), false, space()};
  }

  template <class I>
  N csr(Index rows, Index cols, const py::array_t<I, py::array::c_style>& indptr,
        const py::array_t<I, py::array::c_style>& indices,
        const py::array_t<T, py::array::c_style>& data) {
    if (indptr.size() != rows + 1 || indices.size() < indptr.data()[rows] ||
        data.size() < indptr.data()[rows]) {
      throw py::value_error("indptr, indices and data do not form a compressed sparse matrix");
    }
    const CompressedRows<T, I> host{rows, cols, indptr.data(), indices.data(), data.data()};
    return {AnyOperator<T>(DeviceCsr<T>(space(), host)), false, space()};
  }

  py::tuple solve(const std::string& method, const py::object& a, const py::object& m,
                  const DeviceArray& b, const py::object& x0, const py::dict& options,
                  PythonMonitor& monitor, const py::object& workspace, const py::object& out,
                  const py::object& wide) {
    if (!wide.is_none()) throw py::type_error("x_dtype is for vectors in host memory");
    const auto& node = a.cast<const N&>();
    bool calls_python = node.calls_python;
    const OperatorRef<T> A(node.op);
    std::optional<OperatorRef<T>> M;
    if (!m.is_none()) {
      M.emplace(m.cast<const N&>().op);
      calls_python |= m.cast<const N&>().calls_python;
    }
    S s = space();
    DeviceArray x = out.is_none() ? new_array<T>(queue_, node.op.cols()) : out.cast<DeviceArray>();
    if (!x0.is_none()) {
      const auto& from = x0.cast<const DeviceArray&>();
      check_size("x0", from.size, x.size);
      s.copy(VectorView<const T>(view_of<T>(from)), view_of<T>(x));
    }
    AnyWorkspace memory = workspace.is_none() ? linear_method<S>(method).workspace()
                                              : workspace.cast<AnyWorkspace&>();
    if (memory.method != method) {
      throw py::value_error("workspace was made for " + memory.method + "; make one for " + method);
    }
    DeviceObserver observer{&monitor};
    const Monitor watch = watched(observer, calls_python);
    const auto run =
        compiled::begin<S>(s, A, M ? &*M : nullptr, VectorView<const T>(view_of<T>(b)),
                           view_of<T>(x), linear_method<S>(method).request(options, memory), watch);
    {
      const py::gil_scoped_release release;
      while (run->next()) {
      }
      queue_->flush();
    }
    py::dict outcome = as_dict(run->outcome());
    run->more([&](const char* name, double value) { outcome[name] = value; });
    if (const auto direction = run->direction(); direction.data != nullptr) {
      DeviceArray d = new_array<T>(queue_, direction.size);
      s.copy(direction, view_of<T>(d));
      queue_->flush();
      outcome["direction"] = std::move(d);
    }
    return py::make_tuple(std::move(x), outcome);
  }

  /// V comes back as its transpose: an array in C order of k vectors.
  py::tuple eigsh(const N& a, const py::object& mass, const py::object& mass_inverse,
                  const py::object& solve, double sigma, const py::dict& options, int which,
                  std::uint64_t seed, const DeviceArray& v0, const DeviceArray& deflate,
                  PythonMonitor& monitor) {
    const Index n = a.op.cols(), k = read_options<EigshOptions>(options).k;
    DeviceArray V = new_array<T>(queue_, n * k);
    V.shape = {k, n};
    const auto columns = [n](const DeviceArray& given) {
      return BlockView<const T>{static_cast<const T*>(given.data), n, given.size / n, n};
    };
    S s = space();
    EigshWorkspace<S> ws;
    DeviceObserver observer{&monitor};
    const py::tuple result =
        run_eigsh(s, a, {{mass, mass_inverse, solve}, sigma, options, which, seed}, columns(v0),
                  columns(deflate), {static_cast<T*>(V.data), n, k, n}, py::cast(V), ws, {},
                  [&](bool calls_python, const auto& run) {
                    const py::gil_scoped_release release;
                    return run(watched(observer, calls_python));
                  });
    queue_->flush();
    return result;
  }

  DeviceArray apply(const N& a, const DeviceArray& x, bool adjoint) const {
    DeviceArray y = new_array<T>(queue_, adjoint ? a.op.cols() : a.op.rows());
    check_size("x", x.size, adjoint ? a.op.rows() : a.op.cols());
    const VectorView<const T> in = view_of<T>(x);
    adjoint ? a.op.apply_adjoint(in, view_of<T>(y)) : a.op.apply(in, view_of<T>(y));
    queue_->flush();
    return y;
  }

 private:
  static Monitor watched(const DeviceObserver& observer, bool calls_python) {
    const PythonMonitor& monitor = *observer.monitor;
    Monitor watch;
    if (monitor.history || !monitor.callback.is_none()) watch.observer = observer;
    watch.timeout = monitor.timeout;
    watch.max_products = monitor.max_products;
    // A product in Python costs more than reading a number; kernels alone want to run ahead.
    watch.check_every = calls_python ? 1 : 10;
    return watch;
  }

  std::shared_ptr<device::DeviceQueue> queue_;
};

template <Field T>
void bind_core(py::module_& m, const char* name) {
  using Core = DeviceCore<T>;
  using N = DeviceNode<T>;
  using S = CudaSpace<T>;
  using Any = AnyOperator<T>;

  py::class_<N> node(m, (std::string("Operator_") + name).c_str());
  bind_algebra(node);

  py::class_<Core>(m, name)
      .def(py::init<std::int32_t, std::uintptr_t>(), py::arg("device"), py::arg("stream"))
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
      .def("closure", &Core::closure)
      .def("recorded", &Core::recorded)
      .def("diagonal", &Core::diagonal)
      .def("identity", [](const Core& c,
                          Index n) { return N{Any(Identity<S>(c.space(), n)), false, c.space()}; })
      .def("csr_int32", &Core::template csr<std::int32_t>)
      .def("csr_int64", &Core::template csr<std::int64_t>)
      .def("block",
           [](const Core& c, std::vector<Index> heights, std::vector<Index> widths,
              const std::vector<std::tuple<Index, Index, N>>& parts) {
             return block_of<T, S>(c.space(), std::move(heights), std::move(widths), parts);
           })
      .def("use_allocator", &Core::use_allocator)
      .def("empty", [](const Core& c, Index n) { return new_array<T>(c.queue(), n); })
      .def("solve", &Core::solve)
      .def("eigsh", &Core::eigsh)
      .def("apply",
           [](const Core& c, const N& a, const DeviceArray& x) { return c.apply(a, x, false); })
      .def("apply_adjoint",
           [](const Core& c, const N& a, const DeviceArray& x) { return c.apply(a, x, true); })
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
}

}  // namespace

void bind_cuda(py::module_ m) {
  bind_device(m);
  py::module_ cuda = m.def_submodule("cuda", "The methods on vectors in device memory.");
  bind_core<float>(cuda, "f4");
  bind_core<double>(cuda, "f8");
  bind_core<std::complex<float>>(cuda, "c8");
  bind_core<std::complex<double>>(cuda, "c16");

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
}

}  // namespace ritz::python
