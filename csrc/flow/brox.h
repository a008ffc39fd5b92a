// Optical flow by Brox, Bruhn, Papenberg and Weickert, "High accuracy optical flow estimation based on a theory for
// warping" (ECCV 2004), written from the paper: the flow w = (u, v) from a first image I to a second one I' minimises
//
//   E(w) = sum over pixels of  psi(|I'(x + w) - I(x)|^2 + gamma |grad I'(x + w) - grad I(x)|^2)
//                            + alpha psi(|grad u|^2 + |grad v|^2),        psi(s^2) = sqrt(s^2 + epsilon^2)
//
// with the squares summed over the channels R, G, B.
#pragma once

#include "flow/image.h"

namespace lrcn::flow {

constexpr double LARGEST_SIGMA = 20.0;  // whose weights the parameters of a GPU's kernel can hold

struct BroxSettings {
  double alpha, gamma, epsilon;
  double sigma;      // of the Gaussian that smooths the images of every level, in pixels of the level, to LARGEST_SIGMA
  double eta;        // size of a level against the next finer one
  int64_t coarsest;  // pixels of the shorter side that a level has at least
  int64_t outer_iterations, inner_iterations, sor_iterations;  // per level, per warp, per linear system
  double omega;                                                // of successive over-relaxation
};

// Where an increment leads too far, a half of it is tried, a quarter, and so on to this part of it.
constexpr float SMALLEST_PART = 1.0f / 16.0f;

// E before and after one warp; it never rises.
struct EnergyStep {
  double before, after;
};

// How many warps there are: outer iterations on all levels.
int64_t warps(Size size, const BroxSettings& settings);

// The flow (height, width, 2), x then y, from `previous` to `following`, (height, width, 3) bytes each; energies
// receives one entry for every warp, coarsest level first, on the images of its level. Runs in the calling thread only;
// the result depends on nothing but the arguments.
void brox_flow(const uint8_t* previous, const uint8_t* following, Size size, const BroxSettings& settings, float* flow,
               EnergyStep* energies);

}  // namespace lrcn::flow
