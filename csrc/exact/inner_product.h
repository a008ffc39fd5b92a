// The fully connected layer.
#pragma once

#include <cstdint>

namespace lrcn::exact {

// y (rows, outputs) = x (rows, inputs) * weight^T + bias, weight (outputs, inputs) or, if transposed, (inputs,
// outputs); bias (outputs) or null. The bias is added after the whole product, as Caffe does.
void inner_product(int64_t rows, int64_t outputs, int64_t inputs, const float* x, const float* weight,
                   bool transposed_weight, const float* bias, float* y);

}  // namespace lrcn::exact
