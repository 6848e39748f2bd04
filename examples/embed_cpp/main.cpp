// Two solves from a C++ program: a linear system given by a lambda, and a curve fit by closures.
#include <cmath>
#include <cstdio>
#include <vector>

#include "ritz/krylov/cg.hpp"
#include "ritz/newton/levenberg_marquardt.hpp"
#include "ritz/op/jacobian.hpp"
#include "ritz/space/host.hpp"

using ritz::Index;
using Vector = ritz::VectorView<double>;
using ConstVector = ritz::VectorView<const double>;
using Space = ritz::HostSpace<double>;

int main() {
  // −u″ = 1 on (0, 1) with u = 0 at both ends, by second differences: u(x) = x (1 − x) / 2.
  const Index n = 999;
  const double h = 1.0 / static_cast<double>(n + 1);
  const auto laplacian = ritz::make_operator<double>(n, n, [&](ConstVector u, Vector y) {
    for (Index i = 0; i < n; ++i) {
      const double left = i > 0 ? u[i - 1] : 0.0, right = i + 1 < n ? u[i + 1] : 0.0;
      y[i] = (2.0 * u[i] - left - right) / (h * h);
    }
  });
  std::vector<double> f(static_cast<std::size_t>(n), 1.0), u(f.size());
  Space space;
  ritz::CgWorkspace<Space> cg_workspace;
  const auto solved = ritz::cg(space, laplacian, ConstVector{f.data(), n}, Vector{u.data(), n},
                               cg_workspace, {{.rtol = 1e-10}});
  const double middle = u[static_cast<std::size_t>(n / 2)];
  std::printf("cg: %s\n    u(1/2) = %.12f, exact 0.125\n", message(solved).c_str(), middle);

  // y = a (1 − exp(−b t)), fitted to exact data for a = 2, b = 0.5.
  const Index m = 20;
  std::vector<double> t, y;
  for (Index i = 0; i < m; ++i) {
    t.push_back(0.5 * static_cast<double>(i));
    y.push_back(2.0 * (1.0 - std::exp(-0.5 * t.back())));
  }
  auto model = ritz::make_model<double>(
      m, 2,
      [&](ConstVector x, Vector r) {
        for (std::size_t i = 0; i < t.size(); ++i) {
          r.data[i] = x[0] * (1.0 - std::exp(-x[1] * t[i])) - y[i];
        }
        return true;
      },
      [&](ConstVector x, ConstVector v, Vector jv) {
        for (std::size_t i = 0; i < t.size(); ++i) {
          const double e = std::exp(-x[1] * t[i]);
          jv.data[i] = (1.0 - e) * v[0] + x[0] * t[i] * e * v[1];
        }
      },
      [&](ConstVector x, ConstVector w, Vector jtw) {
        jtw[0] = jtw[1] = 0.0;
        for (std::size_t i = 0; i < t.size(); ++i) {
          const double e = std::exp(-x[1] * t[i]);
          jtw[0] += (1.0 - e) * w.data[i];
          jtw[1] += x[0] * t[i] * e * w.data[i];
        }
      });
  std::vector<double> x{1.0, 1.0};
  ritz::LevenbergMarquardtWorkspace<Space> lm_workspace;
  const auto fitted = ritz::levenberg_marquardt(space, model, Vector{x.data(), 2}, lm_workspace);
  std::printf("levenberg_marquardt: %s\n    a = %.9f, b = %.9f, exact 2 and 0.5\n",
              message(fitted).c_str(), x[0], x[1]);

  const bool right = solved.status == ritz::Status::converged && std::abs(middle - 0.125) < 1e-8 &&
                     fitted.status == ritz::Status::converged && std::abs(x[0] - 2.0) < 1e-6 &&
                     std::abs(x[1] - 0.5) < 1e-6;
  return right ? 0 : 1;
}
