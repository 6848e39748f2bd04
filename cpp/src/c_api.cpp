// The C interface over the compiled methods. Exceptions stop here.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <optional>
#include <string>

#include "ritz/compiled.hpp"
#include "ritz/op/c_operator.hpp"
#include "ritz/ritz.h"

namespace ritz {
namespace {

thread_local std::string last_error;

/// Runs `f`, turning exceptions into a negative status with words.
template <class F>
ritz_status guard(F f) {
  last_error.clear();
  try {
    return static_cast<ritz_status>(f());
  } catch (const InvalidArgument& e) {
    last_error = e.what();
    return RITZ_INVALID_ARGUMENT;
  } catch (const CallbackFailed& e) {
    last_error = e.what();
    return RITZ_CALLBACK_FAILED;
  } catch (const std::bad_alloc&) {
    last_error = "out of memory";
    return RITZ_OUT_OF_MEMORY;
  } catch (const std::exception& e) {
    last_error = e.what();
    return RITZ_INTERNAL_ERROR;
  } catch (...) {
    last_error = "an unknown exception";
    return RITZ_INTERNAL_ERROR;
  }
}

/// The caller's struct in this library's shape: what the caller's version lacks keeps its default.
template <class Struct>
Struct adopt(const Struct* given, void (*init)(Struct*), const char* what) {
  Struct full;
  init(&full);
  if (given == nullptr) return full;
  if (given->size < sizeof(std::uint32_t) || given->size > 4096) {
    throw InvalidArgument(std::string(what) + " was not initialised: call its _init function");
  }
  std::memcpy(&full, given, std::min<std::size_t>(given->size, sizeof full));
  full.size = sizeof full;
  return full;
}

void require(const void* pointer, const char* what) {
  if (pointer == nullptr) throw InvalidArgument(std::string(what) + " is null");
}

class Observer {
 public:
  Observer(ritz_observe_fn observe, void* ctx) : observe_(observe), ctx_(ctx) {}
  bool operator()(const Iteration& it) const {
    if (observe_ == nullptr) return false;
    const ritz_iteration now{sizeof now,  it.accepted ? 1 : 0, it.iteration, it.products.total(),
                             it.residual, it.objective,        it.seconds()};
    return observe_(ctx_, &now) != 0;
  }

 private:
  ritz_observe_fn observe_;
  void* ctx_;
};

template <class Options>
Monitor monitor_of(const Options& options, const Observer& observer) {
  Monitor monitor;
  monitor.observer = observer;
  monitor.timeout = options.timeout;
  return monitor;
}

void write_report(const Outcome& outcome, double objective, ritz_report* report) {
  if (report == nullptr) return;
  ritz_report full{sizeof full,
                   outcome.verified ? 1 : 0,
                   outcome.iterations,
                   outcome.products.apply + outcome.products.columns,
                   outcome.products.adjoint,
                   outcome.residual,
                   outcome.target,
                   objective,
                   outcome.seconds};
  full.size = report->size;
  std::memcpy(report, &full, std::min<std::size_t>(report->size, sizeof full));
}

/// Calls `f` with a value of the element type that `dtype` names.
template <class F>
Status with_dtype(std::int32_t dtype, F f) {
  switch (dtype) {
    case RITZ_FLOAT32:
      return f(float{});
    case RITZ_FLOAT64:
      return f(double{});
    case RITZ_COMPLEX64:
      return f(std::complex<float>{});
    case RITZ_COMPLEX128:
      return f(std::complex<double>{});
    default:
      throw InvalidArgument("dtype is none of RITZ_FLOAT32 … RITZ_COMPLEX128");
  }
}

template <RealField T>
class CModel final : public AbstractModel<T> {
 public:
  explicit CModel(const ritz_model& f) : f_(f) {
    require(reinterpret_cast<const void*>(f.evaluate), "the model's evaluate");
    require(reinterpret_cast<const void*>(f.linearize), "the model's linearize");
    require(reinterpret_cast<const void*>(f.jvp), "the model's jvp");
    require(reinterpret_cast<const void*>(f.vjp), "the model's vjp");
    if (f.outputs < 0 || f.parameters < 0) {
      throw InvalidArgument("the model has " + std::to_string(f.outputs) + " outputs and " +
                            std::to_string(f.parameters) + " parameters; pass at least 0");
    }
  }
  Index parameters() const override { return f_.parameters; }
  Index outputs() const override { return f_.outputs; }
  bool evaluate(VectorView<const T> x, VectorView<T> z) override {
    const int code = f_.evaluate(f_.ctx, x.data, z.data);
    if (code < 0) throw CallbackFailed("evaluate returned " + std::to_string(code));
    return code == 0;
  }
  void linearize(VectorView<const T> x) override {
    check("linearize", f_.linearize(f_.ctx, x.data));
  }
  void jvp(VectorView<const T> v, VectorView<T> out) override {
    check("jvp", f_.jvp(f_.ctx, v.data, out.data));
  }
  void vjp(VectorView<const T> u, VectorView<T> out) override {
    check("vjp", f_.vjp(f_.ctx, u.data, out.data));
  }

 private:
  static void check(const char* what, int code) {
    if (code != 0) throw CallbackFailed(std::string(what) + " returned " + std::to_string(code));
  }
  ritz_model f_;
};

}  // namespace
}  // namespace ritz

using namespace ritz;

void ritz_operator_init(ritz_operator* A) {
  *A = {};
  A->size = sizeof *A;
  A->dtype = RITZ_FLOAT64;
}
void ritz_model_init(ritz_model* f) {
  *f = {};
  f->size = sizeof *f;
  f->dtype = RITZ_FLOAT64;
}
void ritz_report_init(ritz_report* report) {
  *report = {};
  report->size = sizeof *report;
}
void ritz_cg_options_init(ritz_cg_options* options) {
  const CgOptions defaults;
  *options = {};
  options->size = sizeof *options;
  options->verify = 1;
  options->rtol = defaults.rtol;
  options->atol = defaults.atol;
  options->timeout = INFINITY;
}
void ritz_lsmr_options_init(ritz_lsmr_options* options) {
  const LsmrOptions defaults;
  *options = {};
  options->size = sizeof *options;
  options->verify = 1;
  options->atol = defaults.atol;
  options->btol = defaults.btol;
  options->conlim = defaults.conlim;
  options->timeout = INFINITY;
}
void ritz_least_squares_options_init(ritz_least_squares_options* options) {
  const LevenbergMarquardtOptions defaults;
  *options = {};
  options->size = sizeof *options;
  options->max_iterations = defaults.max_iterations;
  options->ftol = defaults.ftol;
  options->xtol = defaults.xtol;
  options->gtol = defaults.gtol;
  options->timeout = INFINITY;
}

ritz_status ritz_cg(const ritz_operator* A, const ritz_operator* M, const void* b, void* x,
                    const ritz_cg_options* options, ritz_report* report) {
  return guard([&] {
    require(A, "A");
    require(b, "b");
    require(x, "x");
    const ritz_operator a = adopt(A, ritz_operator_init, "A");
    const ritz_cg_options o = adopt(options, ritz_cg_options_init, "options");
    return with_dtype(a.dtype, [&]<class T>(T) {
      const COperator<T> op(a);
      std::optional<COperator<T>> m;
      std::optional<OperatorRef<T>> m_ref;
      if (M != nullptr) {
        m.emplace(adopt(M, ritz_operator_init, "M"));
        m_ref.emplace(*m);
      }
      HostSpace<T> space;
      CgWorkspace<HostSpace<T>> ws;
      CgOptions opt;
      opt.rtol = o.rtol;
      opt.atol = o.atol;
      opt.max_iterations = o.max_iterations;
      opt.warm_start = o.warm_start != 0;
      opt.verify = o.verify != 0;
      const Observer observer(o.observe, o.observe_ctx);
      const CgOutcome out = compiled::solve<Cg, T>(
          space, op, m_ref ? &*m_ref : nullptr, {static_cast<const T*>(b), a.rows},
          {static_cast<T*>(x), a.cols}, ws, opt, monitor_of(o, observer));
      write_report(out, -out.model_decrease, report);
      return out.status;
    });
  });
}

ritz_status ritz_lsmr(const ritz_operator* A, const void* b, void* x,
                      const ritz_lsmr_options* options, ritz_report* report) {
  return guard([&] {
    require(A, "A");
    require(b, "b");
    require(x, "x");
    const ritz_operator a = adopt(A, ritz_operator_init, "A");
    const ritz_lsmr_options o = adopt(options, ritz_lsmr_options_init, "options");
    return with_dtype(a.dtype, [&]<class T>(T) {
      HostSpace<T> space;
      LsmrWorkspace<HostSpace<T>> ws;
      LsmrOptions opt;
      opt.damp = o.damp;
      opt.atol = o.atol;
      opt.btol = o.btol;
      opt.conlim = o.conlim;
      opt.max_iterations = o.max_iterations;
      opt.warm_start = o.warm_start != 0;
      opt.verify = o.verify != 0;
      const Observer observer(o.observe, o.observe_ctx);
      const COperator<T> op(a);
      const LsmrOutcome out =
          compiled::solve<Lsmr, T>(space, op, nullptr, {static_cast<const T*>(b), a.rows},
                                   {static_cast<T*>(x), a.cols}, ws, opt, monitor_of(o, observer));
      write_report(out, out.residual * out.residual / 2.0, report);
      return out.status;
    });
  });
}

ritz_status ritz_least_squares(const ritz_model* f, void* x,
                               const ritz_least_squares_options* options, ritz_report* report) {
  return guard([&] {
    require(f, "f");
    require(x, "x");
    const ritz_model model = adopt(f, ritz_model_init, "f");
    const ritz_least_squares_options o = adopt(options, ritz_least_squares_options_init, "options");
    LevenbergMarquardtOptions opt;
    opt.ftol = o.ftol;
    opt.xtol = o.xtol;
    opt.gtol = o.gtol;
    opt.l2 = o.l2;
    opt.max_iterations = o.max_iterations;
    const Observer observer(o.observe, o.observe_ctx);
    const auto run = [&]<class T>(T) {
      HostSpace<T> space;
      LevenbergMarquardtWorkspace<HostSpace<T>> ws;
      CModel<T> c_model(model);
      const auto out = compiled::levenberg_marquardt<T>(space, c_model, nullptr,
                                                        {static_cast<T*>(x), model.parameters}, ws,
                                                        opt, monitor_of(o, observer));
      write_report(out, out.cost, report);
      return out.status;
    };
    if (model.dtype == RITZ_FLOAT64) return run(double{});
    if (model.dtype == RITZ_FLOAT32) return run(float{});
    throw InvalidArgument("the model's dtype must be RITZ_FLOAT32 or RITZ_FLOAT64");
  });
}

const char* ritz_last_error(void) { return last_error.c_str(); }
const char* ritz_status_advice(ritz_status status) {
  return status < 0 ? "the call failed: see ritz_last_error()"
                    : advice(static_cast<Status>(status));
}
uint32_t ritz_abi_version(void) { return 1; }
