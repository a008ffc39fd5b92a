#include "exact/convolution.h"

#include <algorithm>

#include "exact/blas.h"

namespace lrcn::exact {
namespace {

// One row of the column matrix: the values that one kernel tap meets, zero where it lies in the padding.
void tap_row(const Convolution& shape, const float* plane, int64_t kernel_y, int64_t kernel_x, float* row) {
  const int64_t output_width = shape.output_width();
  // The span of output columns whose tap lies inside the image.
  const int64_t offset = kernel_x * shape.dilation_width - shape.pad_width;
  const int64_t stride = shape.stride_width;
  const int64_t first = offset >= 0 ? 0 : std::min(output_width, (-offset + stride - 1) / stride);
  const int64_t last =
      shape.width <= offset ? first : std::clamp((shape.width - 1 - offset) / stride + 1, first, output_width);
  for (int64_t out_y = 0; out_y < shape.output_height(); ++out_y, row += output_width) {
    const int64_t y = out_y * shape.stride_height + kernel_y * shape.dilation_height - shape.pad_height;
    if (y < 0 || y >= shape.height) {
      std::fill(row, row + output_width, 0.0f);
      continue;
    }
    std::fill(row, row + first, 0.0f);
    const float* source = plane + y * shape.width + offset;
    if (stride == 1) {
      std::copy(source + first, source + last, row + first);
    } else {
      for (int64_t out_x = first; out_x < last; ++out_x) row[out_x] = source[out_x * stride];
    }
    std::fill(row + last, row + output_width, 0.0f);
  }
}

void im2col(const Convolution& shape, const float* x, float* columns) {
  const int64_t positions = shape.output_height() * shape.output_width();
  for (int64_t channel = 0; channel < shape.channels; ++channel) {
    const float* plane = x + channel * shape.height * shape.width;
    for (int64_t kernel_y = 0; kernel_y < shape.kernel_height; ++kernel_y) {
      for (int64_t kernel_x = 0; kernel_x < shape.kernel_width; ++kernel_x, columns += positions) {
        tap_row(shape, plane, kernel_y, kernel_x, columns);
      }
    }
  }
}

bool is_pointwise(const Convolution& shape) {
  return shape.kernel_height == 1 && shape.kernel_width == 1 && shape.stride_height == 1 && shape.stride_width == 1 &&
         shape.pad_height == 0 && shape.pad_width == 0;
}

}  // namespace

void Convolution::image(const float* x, const float* weight, const float* bias, float* columns, float* y) const {
  const int64_t positions = output_height() * output_width();
  const int64_t outputs = num_output / group;
  const int64_t taps = channels / group * kernel_height * kernel_width;
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

}  // namespace lrcn::exact
