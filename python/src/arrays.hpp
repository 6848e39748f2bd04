// NumPy arrays over the library's memory, and the closures that take and return them.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <array>
#include <memory>
#include <string>
#include <utility>

#include "ritz/core/view.hpp"
#include "ritz/space/host.hpp"

namespace ritz::python {

namespace py = pybind11;

/// A NumPy array over memory that `owner` keeps alive for as long as the array lives.
template <class T>
py::array_t<T> array_over(T* data, std::vector<py::ssize_t> shape, std::vector<py::ssize_t> strides,
                          std::shared_ptr<void> owner) {
  auto* held = new std::shared_ptr<void>(std::move(owner));
  const py::capsule base(held, [](void* p) { delete static_cast<std::shared_ptr<void>*>(p); });
  return py::array_t<T>(std::move(shape), std::move(strides), data, base);
}

/// A new vector in 64-byte aligned memory, so that every framework can take it without a copy.
template <class T>
py::array_t<T> new_vector(Index n) {
  HostSpace<T> space;
  auto buffer = space.allocate(static_cast<std::size_t>(n) * sizeof(T));
  auto* data = static_cast<T*>(buffer.get());
  return array_over<T>(data, {n}, {sizeof(T)}, std::move(buffer));
}

/// Likewise a column-major block.
template <class T>
py::array_t<T> new_block(Index rows, Index cols) {
  HostSpace<T> space;
  const auto size = static_cast<py::ssize_t>(sizeof(T));
  auto buffer = space.allocate(static_cast<std::size_t>(rows * cols) * sizeof(T));
  auto* data = static_cast<T*>(buffer.get());
  return array_over<T>(data, {rows, cols}, {size, size * rows}, std::move(buffer));
}

template <class T>
VectorView<T> view(py::array_t<T>& a) {
  return {a.mutable_data(), static_cast<Index>(a.size())};
}
/// Any flags, so that no array is made on the way: the GIL may be released.
template <class T, int Flags>
VectorView<const T> const_view(const py::array_t<T, Flags>& a) {
  return {a.data(), static_cast<Index>(a.size())};
}

/// A 2-d array at the strides it has: no copy is made of a slice or a transpose.
template <class T>
MatrixView<const T> matrix(const py::array_t<T>& a) {
  if (a.ndim() != 2) throw py::value_error("a 2-d array is needed");
  const auto size = static_cast<py::ssize_t>(sizeof(T));
  return {a.data(), a.shape(0), a.shape(1), a.strides(0) / size, a.strides(1) / size};
}
template <class T>
MatrixView<T> matrix(py::array_t<T>& a) {
  const auto size = static_cast<py::ssize_t>(sizeof(T));
  return {a.mutable_data(), a.shape(0), a.shape(1), a.strides(0) / size, a.strides(1) / size};
}

/// How the arrays of one framework go into closures and come back; see ritz.frameworks.
struct Adapter {
  explicit Adapter(py::object a)
      : object(std::move(a)),
        wrap(object.attr("wrap")),
        unwrap(object.attr("unwrap")),
        type(object.attr("type")),
        cache_wrapped(object.attr("cache_wrapped").cast<bool>()),
        by_buffer(!unwrap.is_none() && unwrap.equal(py::str("buffer"))) {}

  [[noreturn]] void reject(const py::object& result, const std::string& what, Index size,
                           const char* dtype) const {
    object.attr("reject")(result, what, size, dtype);
    throw py::type_error(what + " returned an array that cannot be used");
  }

  py::object object;
  py::object wrap;    // None, or callable: ndarray view -> array of the framework
  py::object unwrap;  // None, "buffer", or the name of the method that gives an ndarray back
  py::object type;    // class of the framework's arrays
  bool cache_wrapped;
  bool by_buffer;  // NumPy reads results through the buffer protocol
};

template <class T>
const char* dtype_name() {
  if constexpr (std::same_as<T, float>) return "float32";
  if constexpr (std::same_as<T, double>) return "float64";
  if constexpr (std::same_as<T, std::complex<float>>) return "complex64";
  return "complex128";
}

/// One Python callable with arrays in and an array out. The arrays it receives are views of the
/// library's vectors: read-only for NumPy, valid for as long as anybody holds them, and holding the
/// values of the call only during the call.
template <class T>
class Closure {
 public:
  Closure(py::object f, std::shared_ptr<Adapter> adapter, std::string what)
      : f_(std::move(f)), adapter_(std::move(adapter)), what_(std::move(what)) {}
  Closure(const Closure&) = delete;
  ~Closure() {
    const py::gil_scoped_acquire gil;
    inputs_ = {};
    outputs_ = {};
    f_ = py::object();
    adapter_.reset();
  }

  explicit operator bool() const { return !f_.is_none(); }
  const py::object& function() const { return f_; }

  /// y = f(x); the GIL must be held, here and below.
  void operator()(VectorView<const T> x, VectorView<T> y) const { store(f_(input(x)), y); }
  /// y = f(a, b)
  void operator()(VectorView<const T> a, VectorView<const T> b, VectorView<T> y) const {
    store(f_(input(a), input(b)), y);
  }
  /// y = f(x), or false if f returned None.
  bool attempt(VectorView<const T> x, VectorView<T> y) const {
    const py::object result = f_(input(x));
    if (result.is_none()) return false;
    store(result, y);
    return true;
  }
  /// f(x, y) fills y.
  void fill(VectorView<const T> x, VectorView<T> y) const {
    if (HostSpace<T>::owner(y.data)) {
      f_(input(x), cached(outputs_, y.data, y.size, true));
    } else {
      py::array_t<T> a = new_vector<T>(y.size);
      f_(input(x), wrapped(a));
      std::copy_n(a.data(), y.size, y.data);
    }
  }
  /// Y = f(X) for two-dimensional arrays; column-major both ways.
  void block(BlockView<const T> X, BlockView<T> Y) const {
    py::array_t<T> in = new_block<T>(X.rows, X.cols);
    for (Index j = 0; j < X.cols; ++j) {
      std::copy_n(X.column(j).data, X.rows, in.mutable_data() + j * X.rows);
    }
    const py::object result = f_(wrapped(in));
    const py::array_t<T> out = ndarray(result, Y.rows * Y.cols);
    if (out.ndim() != 2 || out.shape(0) != Y.rows) reject(result, Y.rows * Y.cols);
    const auto values = out.template unchecked<2>();
    for (Index j = 0; j < Y.cols; ++j) {
      for (Index i = 0; i < Y.rows; ++i) Y(i, j) = values(i, j);
    }
  }

  /// The array that the closure receives for x.
  py::object input(VectorView<const T> x) const {
    return cached(inputs_, const_cast<T*>(x.data), x.size, !adapter_->wrap.is_none());
  }

 private:
  struct Entry {
    T* data = nullptr;
    Index size = 0;
    py::object array;
  };
  using Cache = std::array<Entry, 8>;  // a solver works on fewer vectors than that

  py::object wrapped(const py::array_t<T>& a) const {
    return adapter_->wrap.is_none() ? py::object(a) : adapter_->wrap(a);
  }

  py::object cached(Cache& cache, T* data, Index size, bool writable) const {
    for (const Entry& e : cache) {
      if (e.data == data && e.size == size && e.array) return e.array;
    }
    std::shared_ptr<void> owner = HostSpace<T>::owner(data);
    const bool lasting = owner != nullptr && (adapter_->wrap.is_none() || adapter_->cache_wrapped);
    py::array_t<T> a;
    if (owner) {
      a = array_over<T>(data, {size}, {sizeof(T)}, std::move(owner));
    } else {  // memory of somebody else: the closure gets a copy that it may keep
      a = new_vector<T>(size);
      std::copy_n(data, size, a.mutable_data());
    }
    if (!writable) a.attr("setflags")(py::arg("write") = false);
    py::object array = wrapped(a);
    if (lasting) cache[next_++ % cache.size()] = {data, size, array};
    return array;
  }

  void store(const py::object& result, VectorView<T> y) const {
    py::array_t<T> a = ndarray(result, y.size);
    if (!(a.flags() & py::array::c_style)) {
      a = py::array_t<T, py::array::c_style | py::array::forcecast>(a);
    }
    std::copy_n(a.data(), y.size, y.data);
  }

  [[noreturn]] void reject(const py::object& result, Index size) const {
    adapter_->reject(result, what_, size, dtype_name<T>());
  }

  /// The result as an array of exactly the right class, dtype and size.
  py::array_t<T> ndarray(const py::object& result, Index size) const {
    if (!isinstance_of(result, adapter_->type)) reject(result, size);
    py::object a = result;
    if (!adapter_->unwrap.is_none()) {
      a = adapter_->by_buffer ? py::object(py::array::ensure(result))
                              : py::reinterpret_steal<py::object>(PyObject_CallMethodNoArgs(
                                    result.ptr(), adapter_->unwrap.ptr()));
      if (!a) {
        PyErr_Clear();  // the adapter knows better why this array cannot be used
        reject(result, size);
      }
    }
    if (!py::isinstance<py::array_t<T>>(a)) reject(result, size);
    auto array = py::reinterpret_borrow<py::array_t<T>>(a);
    if (array.size() != size) reject(result, size);
    return array;
  }

  static bool isinstance_of(const py::object& result, const py::object& type) {
    return Py_TYPE(result.ptr()) == reinterpret_cast<PyTypeObject*>(type.ptr()) ||
           PyObject_IsInstance(result.ptr(), type.ptr()) == 1;
  }

  py::object f_;
  std::shared_ptr<Adapter> adapter_;
  std::string what_;
  mutable Cache inputs_, outputs_;
  mutable std::size_t next_ = 0;
};

}  // namespace ritz::python
