// The image pyramid of the coarse-to-fine scheme, and the way of a flow field from one level to the next.
//
// Everything is aligned at pixel centres: a level covers the whole image, whatever its size, so that the pyramid of a
// mirrored image is the mirrored pyramid.
#pragma once

#include <vector>

#include "flow/image.h"

namespace lrcn::flow {

// A level is the mean over areas of a base: of the image itself, or of a smaller level before it is smoothed.
struct Level {
  Size size;
  size_t source;  // the number of its base; 0 is the image
  bool is_base;   // it becomes the next one
};

// The levels, finest first: height x width times eta^0, eta^1, ... rounded, as long as the shorter side has at least
// `coarsest` pixels; at least one level. Each is made from the smallest base that is at least twice as large.
std::vector<Level> levels_of(Size image, double eta, int64_t coarsest);

// How many samples of an axis each output is the mean of, where `inputs` become `outputs`.
int64_t samples_of_area(int64_t inputs, int64_t outputs);

// The weights of a Gaussian at the distances 0, 1, ... to three standard deviations; on both sides they sum to 1.
std::vector<float> half_gaussian(double sigma);

class Pyramid {
public:
  // image: (height, width, 3) bytes R, G, B; sigma: of the Gaussian that smooths each level, in pixels of the level.
  Pyramid(const uint8_t* image, const std::vector<Level>& levels, double sigma);

  // One level, intensities 0 to 255.
  Image level(size_t number, Memory* memory) const;

private:
  std::vector<Level> levels_;
  double sigma_;
  std::vector<Image> bases_;
};

// A flow field on a grid of another size: bilinear, its values in pixels of that grid. Extends the flow.
Image resize_flow(Image& flow, Size size);

}  // namespace lrcn::flow
