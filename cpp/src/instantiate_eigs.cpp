#include "ritz/compiled/eigs.hpp"
