// The methods on host memory with type-erased operators, compiled once into the library. Including
// this, or the part that is wanted, instead of letting a method be instantiated anew saves compile
// time and nothing else.
#pragma once

#include "ritz/compiled/eigs.hpp"
#include "ritz/compiled/eigsh.hpp"
#include "ritz/compiled/estimators.hpp"
#include "ritz/compiled/funm.hpp"
#include "ritz/compiled/kaczmarz.hpp"
#include "ritz/compiled/linear.hpp"
#include "ritz/compiled/lobpcg.hpp"
#include "ritz/compiled/lowrank.hpp"
#include "ritz/compiled/lstsq.hpp"
#include "ritz/compiled/newton.hpp"
#include "ritz/compiled/nystrom.hpp"
#include "ritz/compiled/quadrature.hpp"
#include "ritz/compiled/selection.hpp"
#include "ritz/compiled/skeleton.hpp"
#include "ritz/compiled/sketch.hpp"
#include "ritz/compiled/svds.hpp"
