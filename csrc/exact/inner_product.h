// The fully connected layer.
#pragma once

#include <cstdint>

namespace lrcn::exact {

// y (rows, outputs) = x (rows, inputs) * weight^T + bias, weight (outputs, inputs) or, if transposed, (inputs,
// outputs); bias (outputs) or null. The bias is added after the whole product, as Caffe does.
void inner_product(int64_t rows, int64_t outputs, int64_t inputs, const float* x, const float* weight,
                   bool transposed_weight, const float* bias, float* y);

// dx (rows, inputs) from dy (rows, outputs).
void inner_product_backward(int64_t rows, int64_t outputs, int64_t inputs, const float* dy, const float* weight,
                            bool transposed_weight, float* dx);

// Adds to dweight, which lies as the weight does.
void add_weight_gradient(int64_t rows, int64_t outputs, int64_t inputs, const float* x, const float* dy,
                         bool transposed_weight, float* dweight);

// Adds the columns' sums of dy to dbias (outputs).
void add_bias_gradient(int64_t rows, int64_t outputs, const float* dy, float* dbias);

// Row index[r] of dweight (any number, outputs) receives row r of dy (rows, outputs), one after the other.
void add_embedding_gradient(int64_t rows, int64_t outputs, const float* index, const float* dy, float* dweight);

}  // namespace lrcn::exact
