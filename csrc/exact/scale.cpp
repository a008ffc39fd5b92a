#include "exact/scale.h"

#include <algorithm>
#include <vector>

#include "exact/blas.h"

namespace lrcn::exact {

void Scale::backward(const float* scale, const float* dy, float* dx) const {
  for (int64_t row = 0; row < outer * factors; ++row) {
    scaled(inner, scale[row % factors], dy + row * inner, dx + row * inner);
  }
}

void Scale::scale_gradient(const float* x, const float* dy, bool accumulate, float* dscale) const {
  const int64_t rows = outer * factors, count = rows * inner;
  const std::vector<float> ones(std::max(outer, inner), 1.0f);
  const float kept = accumulate ? 1.0f : 0.0f;
  std::vector<float> product(count), sums;
  for (int64_t i = 0; i < count; ++i) product[i] = dy[i] * x[i];
  if (count == factors) {
    std::copy(product.begin(), product.end(), dscale);
    return;
  }
  if (rows == 1) {
    const float sum = dot(inner, product.data(), ones.data());
    *dscale = accumulate ? *dscale + sum : sum;
    return;
  }
  if (inner > 1) {
    sums.resize(rows);
    gemv(Transpose::No, rows, inner, product.data(), ones.data(), 0.0f, sums.data());
    product.swap(sums);
  }
  if (outer == 1) {
    std::copy(product.begin(), product.end(), dscale);  // Caffe replaces it here too
  } else if (factors == 1) {
    const float sum = dot(outer, ones.data(), product.data());
    *dscale = accumulate ? *dscale + sum : sum;
  } else {
    gemv(Transpose::Yes, outer, factors, product.data(), ones.data(), kept, dscale);
  }
}

void Scale::add_bias_gradient(const float* dy, float* dbias) const {
  const std::vector<float> ones(inner, 1.0f);
  for (int64_t i = 0; i < outer; ++i) {
    gemv(Transpose::No, factors, inner, dy + i * factors * inner, ones.data(), 1.0f, dbias);
  }
}

}  // namespace lrcn::exact
