#include "exact/softmax.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "exact/blas.h"

namespace lrcn::exact {

void softmax(int64_t classes, int64_t positions, const float* x, float* scale, float* y) {
  std::copy(x, x + positions, scale);
  for (int64_t c = 0; c < classes; ++c) {
    for (int64_t p = 0; p < positions; ++p) scale[p] = std::max(scale[p], x[c * positions + p]);
  }
  for (int64_t c = 0; c < classes; ++c) {
    for (int64_t p = 0; p < positions; ++p) {
      y[c * positions + p] = std::exp(x[c * positions + p] - scale[p]);
    }
  }
  const std::vector<float> ones(classes, 1.0f);
  gemv(Transpose::Yes, classes, positions, y, ones.data(), 0.0f, scale);
  for (int64_t c = 0; c < classes; ++c) {
    for (int64_t p = 0; p < positions; ++p) y[c * positions + p] /= scale[p];
  }
}

void softmax_backward(int64_t classes, int64_t positions, const float* y, const float* dy, float* dx) {
  for (int64_t p = 0; p < positions; ++p) {
    const float projection = strided_dot(classes, dy + p, y + p, positions);
    for (int64_t i = p; i < classes * positions; i += positions) dx[i] = (dy[i] - projection) * y[i];
  }
}

LossSum negative_log_likelihood(int64_t outer, int64_t classes, int64_t positions, const float* prob,
                                const float* label, bool has_ignore_label, int64_t ignore_label) {
  LossSum sum{0.0f, 0};
  for (int64_t i = 0; i < outer; ++i) {
    for (int64_t p = 0; p < positions; ++p) {
      const int64_t wanted = static_cast<int64_t>(label[i * positions + p]);
      if (has_ignore_label && wanted == ignore_label) continue;
      if (wanted < 0 || wanted >= classes) {
        throw std::runtime_error("label " + std::to_string(wanted) + " is out of range: there are " +
                                 std::to_string(classes) + " classes, counted from 0");
      }
      sum.loss -= std::log(std::max(prob[(i * classes + wanted) * positions + p], FLT_MIN));
      ++sum.count;
    }
  }
  return sum;
}

void negative_log_likelihood_backward(int64_t outer, int64_t classes, int64_t positions, const float* prob,
                                      const float* label, bool has_ignore_label, int64_t ignore_label, float dloss,
                                      float* dx) {
  const int64_t block = classes * positions;
  std::copy(prob, prob + outer * block, dx);
  for (int64_t i = 0; i < outer; ++i) {
    for (int64_t p = 0; p < positions; ++p) {
      float* column = dx + i * block + p;
      const int64_t wanted = static_cast<int64_t>(label[i * positions + p]);
      if (has_ignore_label && wanted == ignore_label) {
        for (int64_t c = 0; c < classes; ++c) column[c * positions] = 0.0f;
      } else {
        column[wanted * positions] -= 1.0f;
      }
    }
  }
  scal(outer * block, dloss, dx);
}

}  // namespace lrcn::exact
