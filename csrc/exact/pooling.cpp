#include "exact/pooling.h"

#include <algorithm>
#include <cfloat>

namespace lrcn::exact {

void Pooling::max_plane(const float* x, float* y, float* index) const {
  for (int64_t out_y = 0; out_y < output_height; ++out_y) {
    const int64_t start_y = out_y * stride_height - pad_height;
    const int64_t top = std::max<int64_t>(start_y, 0), bottom = std::min(start_y + kernel_height, height);
    for (int64_t out_x = 0; out_x < output_width; ++out_x) {
      const int64_t start_x = out_x * stride_width - pad_width;
      const int64_t left = std::max<int64_t>(start_x, 0), right = std::min(start_x + kernel_width, width);
      float maximum = -FLT_MAX;
      int64_t where = -1;
      for (int64_t row = top; row < bottom; ++row) {
        for (int64_t column = left; column < right; ++column) {
          const int64_t position = row * width + column;
          if (x[position] > maximum) {
            maximum = x[position];
            where = position;
          }
        }
      }
      *y++ = maximum;
      *index++ = static_cast<float>(where);
    }
  }
}

void Pooling::average_plane(const float* x, float* y) const {
  for (int64_t out_y = 0; out_y < output_height; ++out_y) {
    const int64_t start_y = out_y * stride_height - pad_height;
    const int64_t end_y = std::min(start_y + kernel_height, height + pad_height);
    for (int64_t out_x = 0; out_x < output_width; ++out_x) {
      const int64_t start_x = out_x * stride_width - pad_width;
      const int64_t end_x = std::min(start_x + kernel_width, width + pad_width);
      float sum = 0.0f;
      for (int64_t row = std::max<int64_t>(start_y, 0); row < std::min(end_y, height); ++row) {
        for (int64_t column = std::max<int64_t>(start_x, 0); column < std::min(end_x, width); ++column) {
          sum += x[row * width + column];
        }
      }
      *y++ = sum / static_cast<float>((end_y - start_y) * (end_x - start_x));
    }
  }
}

}  // namespace lrcn::exact
