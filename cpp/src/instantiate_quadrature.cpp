#include "ritz/compiled/quadrature.hpp"
