#include "ritz/dense/functions.hpp"
