// The update rules of Caffe's solvers on one parameter of n values, in its order of BLAS calls and loops.
//
// A rule turns `gradient` into the update, which the solver subtracts from the parameter, and brings the history up to
// date. `scratch` holds n values whose content does not matter before or after. The arrays do not overlap.
#pragma once

#include <cstdint>

namespace lrcn::exact {

void sgd_update(int64_t n, float rate, float momentum, float* gradient, float* history);

void nesterov_update(int64_t n, float rate, float momentum, float* gradient, float* history, float* scratch);

void adagrad_update(int64_t n, float rate, float delta, float* gradient, float* history, float* scratch);

void rmsprop_update(int64_t n, float rate, float decay, float delta, float* gradient, float* history, float* scratch);

// `gradient_history` and `update_history` are running means of squares.
void adadelta_update(int64_t n, float rate, float momentum, float delta, float* gradient, float* gradient_history,
                     float* update_history, float* scratch);

// `mean` and `square` are the running means of the gradient and of its square; `rate` has the bias correction in it.
void adam_update(int64_t n, float rate, float momentum, float momentum2, float delta, float* gradient, float* mean,
                 float* square, float* scratch);

}  // namespace lrcn::exact
