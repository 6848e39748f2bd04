#include "ritz/compiled/funm.hpp"
