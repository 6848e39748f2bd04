// Everything, on host memory. For one method include its own header.
#pragma once

#include "ritz/compiled.hpp"
#include "ritz/krylov/accumulate.hpp"
#include "ritz/op/algebra.hpp"
#include "ritz/op/any_operator.hpp"
#include "ritz/op/block_diagonal.hpp"
#include "ritz/op/chebyshev.hpp"
#include "ritz/op/gauss_newton.hpp"
#include "ritz/op/jacobian.hpp"
#include "ritz/space/reference.hpp"
