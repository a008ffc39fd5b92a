#include "exact/solver.h"

#include <algorithm>

#include "exact/blas.h"
#include "exact/neuron.h"

namespace lrcn::exact {
namespace {

// y = alpha * x + beta * y, in the two BLAS calls that Caffe makes of it.
void axpby(int64_t n, float alpha, const float* x, float beta, float* y) {
  scal(n, beta, y);
  axpy(n, alpha, x, y);
}

// Squares and roots are powf in Caffe, whose last bit may differ from that of a product or of sqrtf.
void square(int64_t n, const float* x, float* y) { power(n, x, 2.0f, 1.0f, 0.0f, y); }
void square_root(int64_t n, const float* x, float* y) { power(n, x, 0.5f, 1.0f, 0.0f, y); }

// y = x / (sqrt(mean_of_squares) + delta)
void divide_by_root(int64_t n, const float* x, const float* mean_of_squares, float delta, float* y) {
  square_root(n, mean_of_squares, y);
  for (int64_t i = 0; i < n; ++i) y[i] += delta;
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] / y[i];
}

}  // namespace

void sgd_update(int64_t n, float rate, float momentum, float* gradient, float* history) {
  axpby(n, rate, gradient, momentum, history);
  std::copy(history, history + n, gradient);
}

void nesterov_update(int64_t n, float rate, float momentum, float* gradient, float* history, float* scratch) {
  std::copy(history, history + n, scratch);
  axpby(n, rate, gradient, momentum, history);
  axpby(n, 1.0f + momentum, history, -momentum, scratch);
  std::copy(scratch, scratch + n, gradient);
}

void adagrad_update(int64_t n, float rate, float delta, float* gradient, float* history, float* scratch) {
  square(n, gradient, scratch);
  for (int64_t i = 0; i < n; ++i) history[i] += scratch[i];
  divide_by_root(n, gradient, history, delta, scratch);
  axpby(n, rate, scratch, 0.0f, gradient);
}

void rmsprop_update(int64_t n, float rate, float decay, float delta, float* gradient, float* history, float* scratch) {
  square(n, gradient, scratch);
  axpby(n, 1.0f - decay, scratch, decay, history);
  divide_by_root(n, gradient, history, delta, scratch);
  axpby(n, rate, scratch, 0.0f, gradient);
}

void adadelta_update(int64_t n, float rate, float momentum, float delta, float* gradient, float* gradient_history,
                     float* update_history, float* scratch) {
  square(n, gradient, scratch);
  axpby(n, 1.0f - momentum, scratch, momentum, gradient_history);
  for (int64_t i = 0; i < n; ++i) scratch[i] = (delta + update_history[i]) / (delta + gradient_history[i]);
  square_root(n, scratch, scratch);
  for (int64_t i = 0; i < n; ++i) gradient[i] *= scratch[i];
  square(n, gradient, scratch);
  axpby(n, 1.0f - momentum, scratch, momentum, update_history);
  scal(n, rate, gradient);
}

void adam_update(int64_t n, float rate, float momentum, float momentum2, float delta, float* gradient, float* mean,
                 float* square, float* scratch) {
  axpby(n, 1.0f - momentum, gradient, momentum, mean);
  for (int64_t i = 0; i < n; ++i) scratch[i] = gradient[i] * gradient[i];
  axpby(n, 1.0f - momentum2, scratch, momentum2, square);
  divide_by_root(n, mean, square, delta, scratch);
  std::copy(scratch, scratch + n, gradient);
  scal(n, rate, gradient);
}

}  // namespace lrcn::exact
