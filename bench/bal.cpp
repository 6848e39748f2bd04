// Levenberg-Marquardt on a BAL problem through closures: iterations, cost, CPU time and memory as
// JSON on standard output.
//
//     bal FILE [ftol]
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <exception>

#include "bal.hpp"
#include "ritz/newton/levenberg_marquardt.hpp"
#include "ritz/space/host.hpp"

namespace {

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024.0;
}

int run(const char* path, double ftol) {
  bal::Problem problem(path);
  std::vector<double> x = problem.start();
  const double loaded = cpu_seconds();

  using Space = ritz::HostSpace<double>;
  Space space;
  ritz::LevenbergMarquardtWorkspace<Space> workspace;
  ritz::LevenbergMarquardtOptions options;
  options.ftol = ftol;
  std::vector<double> costs;
  const auto observe = [&](const ritz::Iteration& now) {
    costs.push_back(now.objective);
    return false;
  };
  ritz::Monitor monitor;
  monitor.observer = observe;
  const auto out = ritz::levenberg_marquardt(
      space, problem, bal::Vector{x.data(), problem.parameters()}, workspace, options, monitor);

  std::printf("{\n  \"status\": \"%s\",\n  \"cost\": %.6f,\n", name(out.status), out.cost);
  std::printf("  \"outer_iterations\": %lld,\n  \"inner_iterations\": %lld,\n",
              static_cast<long long>(out.iterations), static_cast<long long>(out.inner_iterations));
  std::printf("  \"jvp\": %lld,\n  \"vjp\": %lld,\n  \"evaluations\": %lld,\n",
              static_cast<long long>(out.products.apply),
              static_cast<long long>(out.products.adjoint),
              static_cast<long long>(out.evaluations));
  std::printf("  \"cpu_seconds_to_load\": %.3f,\n  \"cpu_seconds\": %.3f,\n", loaded,
              cpu_seconds() - loaded);
  std::printf("  \"seconds\": %.3f,\n  \"peak_megabytes\": %.1f,\n  \"costs\": [", out.seconds,
              peak_megabytes());
  for (std::size_t i = 0; i < costs.size(); ++i) std::printf("%s%.4f", i ? ", " : "", costs[i]);
  std::printf("]\n}\n");
  return out.status == ritz::Status::converged ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: bal FILE [ftol]\n");
    return 2;
  }
  try {
    return run(argv[1], argc > 2 ? std::atof(argv[2]) : 1e-6);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bal: %s\n", e.what());
    return 1;
  }
}
