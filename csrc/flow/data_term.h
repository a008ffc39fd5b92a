// The data term of one warp step, linearised around the flow so far (Brox et al. 2004, section 3.1).
#pragma once

#include "flow/jet.h"
#include "flow/split.h"

namespace lrcn::flow {

struct DataTerm {
  SplitPlanes tensor;  // J at every pixel, summed over the channels; 0 where the flow leaves the image
  double energy;       // of the flow so far
};

// previous, following: the two images; flow: the flow so far; gamma: weight of the gradient's constancy against that of
// the brightness; epsilon: of the robust function.
DataTerm linearise(const Jets& previous, const Jets& following, const Image& flow, float gamma, float epsilon,
                   Memory* memory);

}  // namespace lrcn::flow
