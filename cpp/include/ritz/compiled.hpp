// The methods on host memory with type-erased operators, compiled once into the library. Including
// this, or the part that is wanted, instead of letting a method be instantiated anew saves compile
// time and nothing else.
#pragma once

#include "ritz/compiled/eigsh.hpp"
#include "ritz/compiled/estimators.hpp"
#include "ritz/compiled/linear.hpp"
#include "ritz/compiled/newton.hpp"
