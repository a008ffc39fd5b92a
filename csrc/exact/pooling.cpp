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

namespace {

// Calls visit(output, window) for every window of a plane, in the order of the outputs.
struct Window {
  int64_t top, bottom, left, right;  // the part of it inside the plane
  float area;                        // of the part of it inside the padded plane
};

template <typename Visit>
void for_each_window(const Pooling& pooling, Visit visit) {
  for (int64_t out_y = 0, output = 0; out_y < pooling.output_height; ++out_y) {
    const int64_t start_y = out_y * pooling.stride_height - pooling.pad_height;
    const int64_t end_y = std::min(start_y + pooling.kernel_height, pooling.height + pooling.pad_height);
    for (int64_t out_x = 0; out_x < pooling.output_width; ++out_x, ++output) {
      const int64_t start_x = out_x * pooling.stride_width - pooling.pad_width;
      const int64_t end_x = std::min(start_x + pooling.kernel_width, pooling.width + pooling.pad_width);
      visit(output,
            Window{std::max<int64_t>(start_y, 0), std::min(end_y, pooling.height), std::max<int64_t>(start_x, 0),
                   std::min(end_x, pooling.width), static_cast<float>((end_y - start_y) * (end_x - start_x))});
    }
  }
}

}  // namespace

void Pooling::average_plane(const float* x, float* y) const {
  for_each_window(*this, [&](int64_t output, const Window& window) {
    float sum = 0.0f;
    for (int64_t row = window.top; row < window.bottom; ++row) {
      for (int64_t column = window.left; column < window.right; ++column) sum += x[row * width + column];
    }
    y[output] = sum / window.area;
  });
}

void Pooling::max_plane_backward(const float* index, const float* dy, float* dx) const {
  std::fill(dx, dx + height * width, 0.0f);
  for (int64_t output = 0; output < output_height * output_width; ++output) {
    const int64_t where = static_cast<int64_t>(index[output]);
    if (where >= 0) dx[where] += dy[output];  // a window without a maximum has none to pass the gradient on to
  }
}

void Pooling::average_plane_backward(const float* dy, float* dx) const {
  std::fill(dx, dx + height * width, 0.0f);
  for_each_window(*this, [&](int64_t output, const Window& window) {
    const float share = dy[output] / window.area;
    for (int64_t row = window.top; row < window.bottom; ++row) {
      for (int64_t column = window.left; column < window.right; ++column) dx[row * width + column] += share;
    }
  });
}

}  // namespace lrcn::exact
