#include "ritz/dense/schur.hpp"
