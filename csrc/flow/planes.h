// Where the flow's kernels keep their numbers: planes of float whose rows have a margin on both sides.
#pragma once

#include <cstdint>
#include <cstring>

#include "flow/image.h"

namespace lrcn::flow {

// Values that a row can be read and written beyond either end; rows begin at a multiple of so many values.
constexpr int64_t MARGIN = 16;

// `count` planes of height x width values, all 0 at first, margins included.
class Planes {
public:
  Planes(int64_t count, Size size, Memory* memory)
      : height_(size.height), stride_((size.width + MARGIN - 1) / MARGIN * MARGIN + 2 * MARGIN) {
    const size_t bytes = sizeof(float) * count * height_ * stride_;
    values_ = static_cast<float*>(memory->allocate(bytes, MARGIN * sizeof(float)));
    std::memset(values_, 0, bytes);
  }

  float* row(int64_t plane, int64_t y) { return values_ + (plane * height_ + y) * stride_ + MARGIN; }
  const float* row(int64_t plane, int64_t y) const { return const_cast<Planes*>(this)->row(plane, y); }

private:
  int64_t height_, stride_;
  float* values_;  // the memory's own: it takes all of a level back at once
};

}  // namespace lrcn::flow
