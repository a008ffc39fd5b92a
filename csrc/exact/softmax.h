// Softmax over the middle axis of one (classes, positions) block, and the loss on top of it.
#pragma once

#include <cstdint>

namespace lrcn::exact {

// scale: scratch of `positions` floats.
void softmax(int64_t classes, int64_t positions, const float* x, float* scale, float* y);

// dx from y, the softmax, and dy, its gradient; each of (classes, positions).
void softmax_backward(int64_t classes, int64_t positions, const float* y, const float* dy, float* dx);

struct LossSum {
  float loss;     // the negative log likelihoods, added up in the order of the labels
  int64_t count;  // how many labels were not ignored
};

// prob (outer, classes, positions), label (outer, positions). Throws std::runtime_error for a label that is neither
// ignored nor a class.
LossSum negative_log_likelihood(int64_t outer, int64_t classes, int64_t positions, const float* prob,
                                const float* label, bool has_ignore_label, int64_t ignore_label);

// dx, the gradient of the scores that prob is the softmax of, where dloss is the gradient of the summed loss.
void negative_log_likelihood_backward(int64_t outer, int64_t classes, int64_t positions, const float* prob,
                                      const float* label, bool has_ignore_label, int64_t ignore_label, float dloss,
                                      float* dx);

}  // namespace lrcn::exact
