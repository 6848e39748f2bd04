#include "ritz/compiled/lobpcg.hpp"
