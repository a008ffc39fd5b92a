// The image pyramid of the coarse-to-fine scheme, and the way of a flow field from one level to the next.
//
// Everything is aligned at pixel centres: a level covers the whole image, whatever its size, so that the pyramid of a
// mirrored image is the mirrored pyramid.
#pragma once

#include <vector>

#include "flow/image.h"

namespace lrcn::flow {

// Sizes of the levels, finest first: height x width times eta^0, eta^1, ... rounded, as long as the shorter side has at
// least `coarsest` pixels; at least one level.
std::vector<Size> level_sizes(Size image, double eta, int64_t coarsest);

class Pyramid {
public:
  // image: (height, width, 3) bytes R, G, B; sigma: of the Gaussian that smooths each level, in pixels of the level.
  Pyramid(const uint8_t* image, const std::vector<Size>& sizes, double sigma);

  // One level, intensities 0 to 255.
  Image level(size_t number, Memory* memory) const;

private:
  std::vector<Size> sizes_;
  double sigma_;
  std::vector<Image> bases_;    // some levels, not smoothed, each at most half as large as the one before it
  std::vector<size_t> source_;  // by level: which of bases_ it is made from
};

// A flow field on a grid of another size: bilinear, its values in pixels of that grid. Extends the flow.
Image resize_flow(Image& flow, Size size);

}  // namespace lrcn::flow
