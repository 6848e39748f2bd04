// Solves A x = b with the installed library, A = I + w wᵀ given by a lambda: two distinct
// eigenvalues, so conjugate gradients is done in two iterations, and x is known in closed form.
#include <cmath>
#include <cstdio>
#include <vector>

#include <ritz/ritz.hpp>

int main() {
  const ritz::Index n = 50;
  std::vector<double> w(static_cast<std::size_t>(n)), x(w.size());
  for (ritz::Index i = 0; i < n; ++i) {
    w[static_cast<std::size_t>(i)] = std::sin(static_cast<double>(i + 1));
  }
  double ww = 0.0;
  for (double wi : w) ww += wi * wi;

  const auto A = ritz::make_operator<double>(
      n, n, [&](ritz::VectorView<const double> v, ritz::VectorView<double> y) {
        double wv = 0.0;
        for (ritz::Index i = 0; i < n; ++i) wv += w[static_cast<std::size_t>(i)] * v[i];
        for (ritz::Index i = 0; i < n; ++i) y[i] = v[i] + wv * w[static_cast<std::size_t>(i)];
      });
  const std::vector<double> b(w.size(), 1.0);

  ritz::HostSpace<double> space;
  ritz::CgWorkspace<ritz::HostSpace<double>> workspace;
  const auto outcome =
      ritz::cg(space, A, ritz::VectorView<const double>{b.data(), n},
               ritz::VectorView<double>{x.data(), n}, workspace, {{.rtol = 1e-12}});

  // Sherman-Morrison: x = b − w (wᵀ b) / (1 + wᵀ w).
  double wb = 0.0;
  for (double wi : w) wb += wi;
  double error = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    error = std::fmax(error, std::fabs(x[i] - (1.0 - w[i] * wb / (1.0 + ww))));
  }
  std::printf("%s; largest error %.1e\n", message(outcome).c_str(), error);
  return outcome.status == ritz::Status::converged && outcome.iterations <= 3 && error < 1e-12 ? 0
                                                                                               : 1;
}
