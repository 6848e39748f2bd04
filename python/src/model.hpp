// Nonlinear models and losses written in Python.
#pragma once

#include <optional>

#include "arrays.hpp"
#include "ritz/core/threads.hpp"
#include "ritz/newton/model.hpp"

namespace ritz::python {

template <class T>
class PythonModel final : public AbstractModel<T> {
 public:
  PythonModel(const py::object& model, std::shared_ptr<Adapter> adapter)
      : outputs_(model.attr("outputs").cast<Index>()),
        parameters_(model.attr("parameters").cast<Index>()),
        adapter_(adapter),
        evaluate_(model.attr("evaluate"), adapter, "fun"),
        linearize_(model.attr("linearize"), adapter, "linearize"),
        prepare_(py::getattr(model, "prepare", py::none()), adapter, "preconditioner") {}

  Index parameters() const override { return parameters_; }
  Index outputs() const override { return outputs_; }
  bool evaluate(VectorView<const T> x, VectorView<T> z) override {
    const Called call;
    return evaluate_.attempt(x, z);
  }
  void linearize(VectorView<const T> x) override {
    const Called call;
    jvp_.reset();
    vjp_.reset();
    const py::tuple products = linearize_.function()(linearize_.input(x));
    jvp_.emplace(products[0], adapter_, "jvp");
    vjp_.emplace(products[1], adapter_, "vjp");
  }
  void jvp(VectorView<const T> v, VectorView<T> out) override {
    const Called call;
    (*jvp_)(v, out);
  }
  void vjp(VectorView<const T> u, VectorView<T> out) override {
    const Called call;
    (*vjp_)(u, out);
  }
  bool has_preconditioner() const override { return bool(prepare_); }
  void prepare(VectorView<const T> damping) override {
    const Called call;
    precondition_.reset();
    precondition_.emplace(prepare_.function()(prepare_.input(damping)), adapter_, "preconditioner");
  }
  void precondition(VectorView<const T> r, VectorView<T> z) override {
    const Called call;
    (*precondition_)(r, z);
  }

  /// Holds the GIL, and keeps idle workers from spinning, while Python runs. The inner solver has
  /// no observer, and compiled closures run no bytecode: signals are looked for here.
  struct Called {
    Called() {
      threads::park();
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    }
    py::gil_scoped_acquire gil;
  };

 private:
  Index outputs_, parameters_;
  std::shared_ptr<Adapter> adapter_;
  Closure<T> evaluate_, linearize_, prepare_;
  std::optional<Closure<T>> jvp_, vjp_, precondition_;
};

template <class T>
class PythonLoss final : public AbstractLoss<T> {
 public:
  PythonLoss(const py::object& loss, const std::shared_ptr<Adapter>& adapter)
      : value_(loss.attr("value"), adapter, "loss.value"),
        gradient_(loss.attr("gradient"), adapter, "loss.gradient"),
        hessian_product_(loss.attr("hessian_product"), adapter, "loss.hessian_product") {}

  double value(VectorView<const T> z) override {
    const typename PythonModel<T>::Called call;
    return py::float_(value_.function()(value_.input(z)));
  }
  void gradient(VectorView<const T> z, VectorView<T> out) override {
    const typename PythonModel<T>::Called call;
    gradient_(z, out);
  }
  void hessian_product(VectorView<const T> z, VectorView<const T> u, VectorView<T> out) override {
    const typename PythonModel<T>::Called call;
    hessian_product_(z, u, out);
  }

 private:
  Closure<T> value_, gradient_, hessian_product_;
};

}  // namespace ritz::python
