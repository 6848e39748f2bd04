// Binds the methods of KrylovMethods: a solve, a stepper, and many right-hand sides.
#pragma once

#include <map>

#include "monitor.hpp"
#include "operators.hpp"
#include "options.hpp"
#include "ritz/compiled/linear.hpp"
#include "ritz/krylov/accumulate.hpp"
#include "workspace.hpp"

namespace ritz::python {

template <Space S>
using LinearRequest = typename compiled::RequestOf<S, KrylovMethods>::Type;

/// What Python names a method by.
template <Space S>
struct LinearMethod {
  LinearRequest<S> (*request)(const py::dict& options, AnyWorkspace& workspace);
  AnyWorkspace (*workspace)();
  void (*reserve)(AnyWorkspace& workspace, S& space, Index rows, Index cols,
                  const py::dict& options);
};

template <Space S>
const LinearMethod<S>& linear_method(const std::string& name) {
  static const auto table = []<class... Methods>(std::tuple<Methods...>*) {
    return std::map<std::string, LinearMethod<S>>{
        {std::string(Methods::kName),
         {[](const py::dict& options, AnyWorkspace& any) -> LinearRequest<S> {
            using W = typename Methods::template Workspace<S>;
            return compiled::Request<Methods, S>{read_options<typename Methods::Options>(options),
                                                 *static_cast<W*>(any.workspace.get())};
          },
          [] {
            return make_workspace(std::string(Methods::kName),
                                  std::make_shared<typename Methods::template Workspace<S>>());
          },
          [](AnyWorkspace& any, S& space, Index rows, Index cols, const py::dict& options) {
            using W = typename Methods::template Workspace<S>;
            static_cast<W*>(any.workspace.get())
                ->prepare(space, rows, cols, read_options<typename Methods::Options>(options),
                          true);
          }}}...};
  }(static_cast<KrylovMethods*>(nullptr));
  const auto found = table.find(name);
  if (found == table.end()) throw py::value_error("there is no method " + name);
  return found->second;
}

/// The workspace that Python lends to a method, or a new one.
template <Space S>
AnyWorkspace linear_workspace(const std::string& method, const py::object& given) {
  if (given.is_none()) return linear_method<S>(method).workspace();
  const auto& any = given.cast<const AnyWorkspace&>();
  if (any.method != method) {
    throw py::value_error("workspace was made for " + any.method + "; make one for " + method);
  }
  return any;
}
/// A new one with the memory that a run of this size takes.
template <Space S>
AnyWorkspace reserved_workspace(const std::string& method, S& space, Index rows, Index cols,
                                const py::dict& options) {
  AnyWorkspace workspace = linear_method<S>(method).workspace();
  linear_method<S>(method).reserve(workspace, space, rows, cols, options);
  return workspace;
}

inline compiled::BlockMethod block_method(const std::string& name) {
  static const std::map<std::string, compiled::BlockMethod> methods{
      {"cg", compiled::BlockMethod::cg},
      {"minres", compiled::BlockMethod::minres},
      {"gmres", compiled::BlockMethod::gmres}};
  return methods.at(name);
}
inline BlockGmresOptions block_options(const py::dict& options) {
  BlockGmresOptions opt;
  py::dict rest;
  for (const auto& [name, value] : options) {
    if (py::cast<std::string>(name) == "restart") {
      opt.restart = py::cast<Index>(value);
    } else {
      rest[name] = value;
    }
  }
  static_cast<LinearOptions&>(opt) = read_options<LinearOptions>(rest);
  return opt;
}

/// One run and everything that it refers to.
template <Field T>
class LinearSolve {
  using Array = py::array_t<T, py::array::c_style>;

 public:
  /// `wide`: (A, b) in double precision, to keep x in it.
  LinearSolve(const std::string& method, const py::object& a, const py::object& m, Array b,
              py::array_t<T> x, const py::dict& options, const py::object& monitor,
              const py::object& workspace, const py::object& wide)
      : keep_(py::make_tuple(a, m, monitor)),
        A_(a.cast<const Node<T>&>().op),
        calls_python_(a.cast<const Node<T>&>().calls_python),
        b_(std::move(b)),
        x_(std::move(x)),
        workspace_(linear_workspace<HostSpace<T>>(method, workspace)),
        monitor_(monitor.cast<PythonMonitor&>()),
        observer_(monitor_, false) {
    if (!m.is_none()) {
      const auto& node = m.cast<const Node<T>&>();
      M_ref_.emplace(node.op);
      M_ = &*M_ref_;
      calls_python_ |= node.calls_python;
    }
    if constexpr (std::same_as<RealOf<T>, float>) {
      if (!wide.is_none()) {
        keep_wide(wide.cast<py::tuple>(), options.contains("warm_start"));
      }
    }
    run_ = compiled::begin<HostSpace<T>>(
        space_, A_, M_, const_view<T>(b_), view(x_),
        linear_method<HostSpace<T>>(method).request(options, workspace_),
        watch(monitor_, observer_));
    if (accumulate_) run_->accumulate_with(accumulate_);
  }

  AbstractStepper<T>& run() { return *run_; }
  const OperatorRef<T>& A() const { return A_; }
  const OptionalOperator<T>& M() const { return M_; }
  bool calls_python() const { return calls_python_; }
  Index size() const { return std::max(b_.size(), x_.size()); }

  /// To the next pause, or to the end.
  bool next() {
    const RunGil gil(calls_python_, size());
    observer_.holds_gil(gil.held());
    return run_->next();
  }
  void finish() {
    const RunGil gil(calls_python_, size());
    observer_.holds_gil(gil.held());
    while (run_->next()) {
    }
  }

  py::object x() {
    if (wide_x_.is_none()) return x_;
    if constexpr (std::same_as<RealOf<T>, float>) wider_->flush(view(x_));
    return wide_x_;
  }
  py::dict outcome() const {
    py::dict d = as_dict(run_->outcome());
    run_->more([&](const char* name, double value) { d[name] = value; });
    const auto direction = run_->direction();
    if (direction.data != nullptr) {
      py::array_t<T> copy = new_vector<T>(direction.size);
      std::copy_n(direction.data, direction.size, copy.mutable_data());
      d["direction"] = copy;
    }
    return d;
  }

 private:
  using Wide = WideOf<T>;

  void keep_wide(const py::tuple& wide, bool warm) {
    const auto& node = wide[0].cast<const Node<Wide>&>();
    wide_b_ = wide[1].cast<py::array_t<Wide, py::array::c_style>>();
    py::array_t<Wide> X = new_vector<Wide>(x_.size());
    if (warm) {
      std::copy_n(x_.data(), x_.size(), X.mutable_data());
    } else {
      std::fill_n(X.mutable_data(), X.size(), Wide{});
    }
    std::fill_n(x_.mutable_data(), x_.size(), T{});
    keep_ = py::make_tuple(keep_, wide);
    calls_python_ |= node.calls_python;
    wide_x_ = X;
    wide_A_.emplace(node.op);
    wider_.emplace(HostSpace<T>{}, HostSpace<Wide>{}, *wide_A_, const_view<Wide>(wide_b_), view(X));
    accumulate_ = *wider_;
  }

  py::tuple keep_;
  HostSpace<T> space_;
  OperatorRef<T> A_;
  std::optional<OperatorRef<T>> M_ref_;
  OptionalOperator<T> M_;
  bool calls_python_;
  Array b_;
  py::array_t<T> x_;
  AnyWorkspace workspace_;
  PythonMonitor& monitor_;
  Observer<T> observer_;
  py::array_t<Wide, py::array::c_style> wide_b_;
  py::object wide_x_ = py::none();
  std::optional<OperatorRef<Wide>> wide_A_;
  std::optional<Accumulator<HostSpace<T>, HostSpace<Wide>, OperatorRef<Wide>>> wider_;
  Accumulate<T> accumulate_;
  std::unique_ptr<AbstractStepper<T>> run_;
};

/// x0's columns in a new block; zeros without x0.
template <Field T>
py::array_t<T> start_block(const py::object& x0, Index n, Index k) {
  py::array_t<T> x = new_block<T>(n, k);
  if (x0.is_none()) {
    std::fill_n(x.mutable_data(), n * k, T{});
  } else {
    std::copy_n(x0.cast<py::array_t<T, py::array::f_style>>().data(), n * k, x.mutable_data());
  }
  return x;
}

template <Field T>
void bind_linear(py::module_& m) {
  using Solve = LinearSolve<T>;
  using Array = py::array_t<T, py::array::c_style>;
  using Block = py::array_t<T, py::array::f_style>;

  m.def("solve",
        [](const std::string& method, const py::object& a, const py::object& M, const Array& b,
           const py::object& x0, const py::dict& options, const py::object& monitor,
           const py::object& workspace, const py::object& out, const py::object& wide) {
          const Index n = a.cast<const Node<T>&>().op.cols();
          Solve run(method, a, M, b, start<T>(x0, out, n), options, monitor, workspace, wide);
          run.finish();
          return py::make_tuple(run.x(), run.outcome());
        });

  py::class_<Solve>(m, "LinearSolve")
      .def(py::init([](const std::string& method, const py::object& a, const py::object& M,
                       const Array& b, const py::object& x0, const py::dict& options,
                       const py::object& monitor, const py::object& workspace) {
        const Index n = a.cast<const Node<T>&>().op.cols();
        auto run = std::make_unique<Solve>(method, a, M, b, start<T>(x0, py::none(), n), options,
                                           monitor, workspace, py::none());
        run->run().pause().at_iterations = true;
        return run;
      }))
      .def("next", &Solve::next)
      .def("stop", [](Solve& run) { run.run().pause().stop = true; })
      .def_property_readonly("x", &Solve::x)
      .def_property_readonly("iterations",
                             [](Solve& run) { return run.run().outcome().iterations; })
      .def_property_readonly("residual", [](Solve& run) { return run.run().outcome().residual; })
      .def("outcome", &Solve::outcome);

  // One run a column of b; `monitors`: one for each.
  m.def("solve_columns", [](const std::string& method, const py::object& a, const py::object& M,
                            const Block& b, const py::object& x0, const py::dict& options,
                            const std::vector<py::object>& monitors, bool batched) {
    const auto& node = a.cast<const Node<T>&>();
    const Index n = node.op.cols(), k = b.shape(1);
    py::array_t<T> x = start_block<T>(x0, n, k);
    std::vector<std::unique_ptr<Solve>> solves;
    std::vector<AbstractStepper<T>*> runs;
    const auto column = [](const auto& block, Index rows, Index j) {
      return py::array_t<T>({rows}, {static_cast<Index>(sizeof(T))}, block.data() + j * rows,
                            block);
    };
    for (Index j = 0; j < k; ++j) {
      solves.push_back(std::make_unique<Solve>(
          method, a, M, Array(column(b, b.shape(0), j)), column(x, n, j), options,
          monitors[static_cast<std::size_t>(j)], py::none(), py::none()));
    }
    py::list outcomes;
    if (k > 0) {
      for (const auto& s : solves) runs.push_back(&s->run());
      {
        const RunGil gil(solves[0]->calls_python(), solves[0]->size() * k);
        HostSpace<T> space;
        compiled::Columns<HostSpace<T>>::run(space, runs, solves[0]->A(), solves[0]->M(), batched);
      }
      for (const auto& s : solves) outcomes.append(s->outcome());
    }
    return py::make_tuple(x, outcomes);
  });

  // One Krylov space for all columns of b.
  m.def("solve_block",
        [](const std::string& method, const py::object& a, const py::object& M, const Block& b,
           const py::object& x0, const py::dict& options, PythonMonitor& monitor) {
          const auto& node = a.cast<const Node<T>&>();
          const Index n = node.op.cols(), k = b.shape(1);
          bool calls_python = node.calls_python;
          py::array_t<T> x = start_block<T>(x0, n, k);
          const BlockGmresOptions opt = block_options(options);
          const OperatorRef<T> A(node.op);
          std::optional<OperatorRef<T>> m_ref;
          if (!M.is_none()) {
            m_ref.emplace(M.cast<const Node<T>&>().op);
            calls_python |= M.cast<const Node<T>&>().calls_python;
          }
          std::vector<Outcome> outcomes(static_cast<std::size_t>(k));
          const BlockView<const T> B{b.data(), b.shape(0), k, b.shape(0)};
          const BlockView<T> X{x.mutable_data(), n, k, n};
          {
            const RunGil gil(calls_python, n * k);
            Observer<T> observer(monitor, gil.held());
            HostSpace<T> space;
            compiled::Columns<HostSpace<T>>::block_solve(block_method(method), space, A,
                                                         m_ref ? &*m_ref : nullptr, B, X, opt,
                                                         watch(monitor, observer), outcomes);
          }
          py::list described;
          for (const Outcome& outcome : outcomes) described.append(as_dict(outcome));
          return py::make_tuple(x, described);
        });

  m.def("linear_workspace",
        [](const std::string& method, Index rows, Index cols, const py::dict& options) {
          HostSpace<T> space;
          return reserved_workspace(method, space, rows, cols, options);
        });
}

}  // namespace ritz::python
