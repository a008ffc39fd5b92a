// The layout of the linear solver: every row holds the pixels of even columns, then those of odd columns.
//
// Of two neighbours in a row one is in each part, so that all pixels of one colour of a checkerboard, and all their
// neighbours to one side, are consecutive values.
#pragma once

#include "flow/planes.h"

namespace lrcn::flow {

class SplitPlanes {
public:
  SplitPlanes(int64_t count, Size size, Memory* memory)
      : width(size.width),
        part(((width + 1) / 2 + MARGIN - 1) / MARGIN * MARGIN),
        planes_(count, {size.height + 2, 2 * part + MARGIN}, memory) {}

  // Row y, -1 to height, of the part 0 (even columns) or 1 (odd columns): value k is column 2 k + parity. It has
  // `part` values and a margin; those that are no pixels are there to be computed along and have no effect.
  float* row(int64_t plane, int64_t parity, int64_t y) { return planes_.row(plane, y + 1) + parity * (part + MARGIN); }
  const float* row(int64_t plane, int64_t parity, int64_t y) const {
    return const_cast<SplitPlanes*>(this)->row(plane, parity, y);
  }

  void set_row(int64_t plane, int64_t y, const float* values) {
    float *even = row(plane, 0, y), *odd = row(plane, 1, y);
    for (int64_t k = 0; k < width / 2; ++k) {
      even[k] = values[2 * k];
      odd[k] = values[2 * k + 1];
    }
    if (width % 2) even[width / 2] = values[width - 1];
  }

  void get_row(int64_t plane, int64_t y, float* values) const {
    const float *even = row(plane, 0, y), *odd = row(plane, 1, y);
    for (int64_t k = 0; k < width / 2; ++k) {
      values[2 * k] = even[k];
      values[2 * k + 1] = odd[k];
    }
    if (width % 2) values[width - 1] = even[width / 2];
  }

  const int64_t width, part;

private:
  Planes planes_;
};

}  // namespace lrcn::flow
