#include "exact/inner_product.h"

#include <algorithm>
#include <vector>

#include "exact/blas.h"
#include "parallel.h"

namespace lrcn::exact {
namespace {

// Below this many multiplications a second thread costs more than it saves.
constexpr int64_t WORTH_A_THREAD = int64_t{1} << 22;

void rows_of_inner_product(int64_t rows, int64_t outputs, int64_t inputs, const float* x, const float* weight,
                           bool transposed_weight, const float* bias, float* y) {
  gemm(Transpose::No, transposed_weight ? Transpose::No : Transpose::Yes, rows, outputs, inputs, 1.0f, x, weight, 0.0f,
       y);
  if (!bias) return;
  for (int64_t row = 0; row < rows; ++row, y += outputs) {
    for (int64_t output = 0; output < outputs; ++output) y[output] += bias[output];
  }
}

}  // namespace

void inner_product(int64_t rows, int64_t outputs, int64_t inputs, const float* x, const float* weight,
                   bool transposed_weight, const float* bias, float* y) {
  const int64_t block = gemm_row_block() > 0 ? gemm_row_block() : std::max<int64_t>(rows, 1);
  const int64_t blocks = (rows + block - 1) / block;
  const int64_t grain = std::max<int64_t>(1, WORTH_A_THREAD / std::max<int64_t>(1, block * outputs * inputs));
  parallel_for(blocks, grain, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * block, last = std::min(end * block, rows);
    rows_of_inner_product(last - first, outputs, inputs, x + first * inputs, weight, transposed_weight, bias,
                          y + first * outputs);
  });
}

void inner_product_backward(int64_t rows, int64_t outputs, int64_t inputs, const float* dy, const float* weight,
                            bool transposed_weight, float* dx) {
  gemm(Transpose::No, transposed_weight ? Transpose::Yes : Transpose::No, rows, inputs, outputs, 1.0f, dy, weight, 0.0f,
       dx);
}

void add_weight_gradient(int64_t rows, int64_t outputs, int64_t inputs, const float* x, const float* dy,
                         bool transposed_weight, float* dweight) {
  if (transposed_weight) {
    gemm(Transpose::Yes, Transpose::No, inputs, outputs, rows, 1.0f, x, dy, 1.0f, dweight);
  } else {
    gemm(Transpose::Yes, Transpose::No, outputs, inputs, rows, 1.0f, dy, x, 1.0f, dweight);
  }
}

void add_bias_gradient(int64_t rows, int64_t outputs, const float* dy, float* dbias) {
  const std::vector<float> ones(rows, 1.0f);
  gemv(Transpose::Yes, rows, outputs, dy, ones.data(), 1.0f, dbias);
}

void add_embedding_gradient(int64_t rows, int64_t outputs, const float* index, const float* dy, float* dweight) {
  for (int64_t row = 0; row < rows; ++row) {
    axpy(outputs, 1.0f, dy + row * outputs, dweight + static_cast<int64_t>(index[row]) * outputs);
  }
}

}  // namespace lrcn::exact
