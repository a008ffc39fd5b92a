// The product of matrices that the fast path and the LSTM share.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace lrcn {

// a (M, K) times the transpose of b (N, K), plus bias (N) if given, in their dtype, on any device. In float32 on the
// CPU many rows go to oneDNN: MKL, which PyTorch takes, runs at half of its speed on AMD's processors.
at::Tensor matrix_product(const at::Tensor& a, const at::Tensor& b, const std::optional<at::Tensor>& bias = {});

// Weights b (N, K) as the product with many rows a (M, K) is fastest: float32 on the CPU, M about `rows`.
class PreparedWeights {
public:
  PreparedWeights(const at::Tensor& b, int64_t rows);

  // a b^T.
  at::Tensor product(const at::Tensor& a) const;

private:
  at::Tensor b_;
};

}  // namespace lrcn
