// The logarithm of the denominator of a softmax.
#pragma once

#include <cstdint>

namespace lrcn::fast {

// y[i] = log(sum over k of e^x[i][k]), for x (rows, count).
void log_sum_exp(int64_t rows, int64_t count, const float* x, float* y);

}  // namespace lrcn::fast
