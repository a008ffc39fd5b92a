#include "exact/convolution.h"

#include <algorithm>

#include "exact/blas.h"
#include "parallel.h"

namespace lrcn::exact {
namespace {

// The span of output columns whose tap at kernel_x lies inside the image, and where the tap of column 0 would lie.
struct TapSpan {
  int64_t offset, first, last;

  TapSpan(const Convolution& shape, int64_t kernel_x) : offset(kernel_x * shape.dilation_width - shape.pad_width) {
    const int64_t stride = shape.stride_width, output_width = shape.output_width();
    first = offset >= 0 ? 0 : std::min(output_width, (-offset + stride - 1) / stride);
    last = shape.width <= offset ? first : std::clamp((shape.width - 1 - offset) / stride + 1, first, output_width);
  }
};

// The row of the image that the tap at kernel_y meets, which may lie outside.
int64_t tap_y(const Convolution& shape, int64_t out_y, int64_t kernel_y) {
  return out_y * shape.stride_height + kernel_y * shape.dilation_height - shape.pad_height;
}

// One row of the column matrix: the values that one kernel tap meets, zero where it lies in the padding.
void tap_row(const Convolution& shape, const float* plane, int64_t kernel_y, int64_t kernel_x, float* row) {
  const int64_t output_width = shape.output_width(), stride = shape.stride_width;
  const TapSpan span(shape, kernel_x);
  for (int64_t out_y = 0; out_y < shape.output_height(); ++out_y, row += output_width) {
    const int64_t y = tap_y(shape, out_y, kernel_y);
    if (y < 0 || y >= shape.height) {
      std::fill(row, row + output_width, 0.0f);
      continue;
    }
    std::fill(row, row + span.first, 0.0f);
    const float* source = plane + y * shape.width + span.offset;
    if (stride == 1) {
      std::copy(source + span.first, source + span.last, row + span.first);
    } else {
      for (int64_t out_x = span.first; out_x < span.last; ++out_x) row[out_x] = source[out_x * stride];
    }
    std::fill(row + span.last, row + output_width, 0.0f);
  }
}

// The way back: adds the row to the values that its tap met.
void add_tap_row(const Convolution& shape, const float* row, int64_t kernel_y, int64_t kernel_x, float* plane) {
  const int64_t stride = shape.stride_width;
  const TapSpan span(shape, kernel_x);
  for (int64_t out_y = 0; out_y < shape.output_height(); ++out_y, row += shape.output_width()) {
    const int64_t y = tap_y(shape, out_y, kernel_y);
    if (y < 0 || y >= shape.height) continue;
    float* target = plane + y * shape.width + span.offset;
    for (int64_t out_x = span.first; out_x < span.last; ++out_x) target[out_x * stride] += row[out_x];
  }
}

// Calls visit(plane, kernel_y, kernel_x, row) for every row of the column matrix of x, in order.
template <typename Value, typename Visit>
void for_each_tap(const Convolution& shape, Value* x, Visit visit) {
  for (int64_t channel = 0, row = 0; channel < shape.channels; ++channel) {
    Value* plane = x + channel * shape.height * shape.width;
    for (int64_t kernel_y = 0; kernel_y < shape.kernel_height; ++kernel_y) {
      for (int64_t kernel_x = 0; kernel_x < shape.kernel_width; ++kernel_x) visit(plane, kernel_y, kernel_x, row++);
    }
  }
}

void im2col(const Convolution& shape, const float* x, float* columns) {
  const int64_t positions = shape.positions();
  for_each_tap(shape, x, [&](const float* plane, int64_t kernel_y, int64_t kernel_x, int64_t row) {
    tap_row(shape, plane, kernel_y, kernel_x, columns + row * positions);
  });
}

void col2im(const Convolution& shape, const float* columns, float* x) {
  const int64_t positions = shape.positions();
  std::fill(x, x + shape.channels * shape.height * shape.width, 0.0f);
  for_each_tap(shape, x, [&](float* plane, int64_t kernel_y, int64_t kernel_x, int64_t row) {
    add_tap_row(shape, columns + row * positions, kernel_y, kernel_x, plane);
  });
}

bool is_pointwise(const Convolution& shape) {
  return shape.kernel_height == 1 && shape.kernel_width == 1 && shape.stride_height == 1 && shape.stride_width == 1 &&
         shape.pad_height == 0 && shape.pad_width == 0;
}

}  // namespace

void Convolution::image(const float* x, const float* weight, const float* bias, float* columns, float* y) const {
  const int64_t positions = this->positions(), outputs = num_output / group, taps = taps_per_output();
  const float* operand = x;
  if (!is_pointwise(*this)) {
    im2col(*this, x, columns);
    operand = columns;
  }
  for (int64_t g = 0; g < group; ++g) {
    gemm(Transpose::No, Transpose::No, outputs, positions, taps, 1.0f, weight + g * outputs * taps,
         operand + g * taps * positions, 0.0f, y + g * outputs * positions);
  }
  if (!bias) return;
  for (int64_t output = 0; output < num_output; ++output, y += positions) {
    for (int64_t position = 0; position < positions; ++position) y[position] += bias[output];
  }
}

void Convolution::image_backward(const float* dy, const float* weight, float* columns, float* dx) const {
  const int64_t positions = this->positions(), outputs = num_output / group, taps = taps_per_output();
  float* product = is_pointwise(*this) ? dx : columns;
  for (int64_t g = 0; g < group; ++g) {
    gemm(Transpose::Yes, Transpose::No, taps, positions, outputs, 1.0f, weight + g * outputs * taps,
         dy + g * outputs * positions, 0.0f, product + g * taps * positions);
  }
  if (!is_pointwise(*this)) col2im(*this, columns, dx);
}

void Convolution::add_weight_gradient(const float* x, const float* dy, float* columns, float* dweight) const {
  const int64_t positions = this->positions(), outputs = num_output / group, taps = taps_per_output();
  const float* operand = x;
  if (!is_pointwise(*this)) {
    im2col(*this, x, columns);
    operand = columns;
  }
  const int64_t block = gemm_row_block() > 0 ? gemm_row_block() : outputs;
  const int64_t blocks = (outputs + block - 1) / block;
  parallel_for(group * blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t g = i / blocks, first = i % blocks * block, rows = std::min(block, outputs - first);
      gemm(Transpose::No, Transpose::Yes, rows, taps, positions, 1.0f, dy + (g * outputs + first) * positions,
           operand + g * taps * positions, 1.0f, dweight + (g * outputs + first) * taps);
    }
  });
}

}  // namespace lrcn::exact
