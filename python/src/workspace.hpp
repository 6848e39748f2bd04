// Memory that Python lends to a run, and the vectors that a run starts from.
#pragma once

#include "arrays.hpp"

namespace ritz::python {

/// The workspace of one method, whichever it is; reused from run to run by the same method.
struct AnyWorkspace {
  std::string method;
  std::shared_ptr<void> workspace;
  std::size_t (*bytes)(const void*) = nullptr;
};

/// `given` as a W, or a new W held by `fresh`.
template <class W>
W& workspace_of(const char* method, const py::object& given, std::optional<W>& fresh) {
  if (given.is_none()) return fresh.emplace();
  auto& any = given.cast<AnyWorkspace&>();
  if (any.method != method) {
    throw py::value_error("workspace was made for " + any.method + "; make one for " + method);
  }
  return *static_cast<W*>(any.workspace.get());
}

template <class W>
AnyWorkspace make_workspace(std::string method, std::shared_ptr<W> workspace) {
  return {std::move(method), std::move(workspace),
          [](const void* w) { return static_cast<const W*>(w)->bytes(); }};
}

/// x0's copy in `out` if that is given, else in a new vector; zeros without x0.
template <class T>
py::array_t<T> start(const py::object& x0, const py::object& out, Index n) {
  py::array_t<T> x = out.is_none() ? new_vector<T>(n) : py::array_t<T>(out);
  if (x.size() != n) throw py::value_error("out has the wrong size");
  if (!x0.is_none()) {
    const auto from = x0.cast<py::array_t<T>>();
    if (from.size() != n) {
      throw py::value_error("x0 has " + std::to_string(from.size()) +
                            " elements; the operator has " + std::to_string(n) + " columns");
    }
    std::copy_n(from.data(), n, x.mutable_data());
  }
  return x;
}

}  // namespace ritz::python
