#include "ritz/compiled/svds.hpp"
