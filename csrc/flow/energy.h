// The energy that the flow minimises, term by term.
#pragma once

#include "flow/jet.h"

namespace lrcn::flow {

// The sum of psi(s^2) = sqrt(s^2 + epsilon^2) over squares, in the same order on every machine.
double robust_sum(int64_t count, const float* squares, float epsilon);

// Of a flow between two images. Pixels whose flow leaves the image count as if nothing changed there.
double data_energy(const Jets& previous, const Jets& following, const Image& flow, float gamma, float epsilon);

// Before it is weighted by alpha. Extends the flow.
double smoothness_energy(Image& flow, float epsilon);

}  // namespace lrcn::flow
