#include "flow/jet.h"

#include <cstring>

#include "vectorised.h"

namespace lrcn::flow {
namespace {

// The derivatives of row y along x and along y.
LRCN_INLINE Pixel along_x(const Pixel* centre) { return difference(centre[-2], centre[-1], centre[1], centre[2]); }

LRCN_INLINE Pixel along_y(const Pixel* centre, int64_t stride) {
  return difference(centre[-2 * stride], centre[-stride], centre[stride], centre[2 * stride]);
}

LRCN_VECTORISED
void gradient_row(int64_t count, const Pixel* image, int64_t stride, Pixel* x, Pixel* y) {
  for (int64_t i = 0; i < count; ++i) {
    x[i] = along_x(image + i);
    y[i] = along_y(image + i, stride);
  }
}

// All three grids have rows of the same length.
LRCN_VECTORISED
void jet_row(int64_t count, const Pixel* image, const Pixel* x, const Pixel* y, int64_t stride, Jet* jets) {
  for (int64_t i = 0; i < count; ++i) {
    jets[i].part[Jet::VALUE] = image[i];
    jets[i].part[Jet::X] = x[i];
    jets[i].part[Jet::Y] = y[i];
    jets[i].part[Jet::XX] = along_x(x + i);
    jets[i].part[Jet::XY] = along_y(x + i, stride);
    jets[i].part[Jet::YY] = along_y(y + i, stride);
  }
}

// Several parts of a jet at once: four, VALUE to XX, and the other two.
using Quad = float __attribute__((vector_size(64)));
using Pair = float __attribute__((vector_size(32)));

template <typename Parts>
LRCN_INLINE void interpolate_parts(const Jet* corner, int64_t stride, Jet::Part first, const Target& target,
                                   Jet& result) {
  const auto load = [&](int64_t k, int64_t l, Parts& parts) {
    std::memcpy(&parts, &corner[k * stride + l].part[first], sizeof(Parts));
  };
  Parts parts;
  interpolate(target, load, parts);
  std::memcpy(&result.part[first], &parts, sizeof(Parts));
}

template <bool with_second>
LRCN_INLINE void sample(const Jets& jets, const Image& flow, int64_t y, Jet* result, float* inside) {
  const Pixel* flow_row = flow.row(y);
  const int64_t stride = jets.row(1) - jets.row(0);
  for (int64_t x = 0; x < flow.width; ++x) {
    const Target at = target(jets.height, jets.width, y, x, flow_row[x][0], flow_row[x][1]);
    inside[x] = at.inside;
    const Jet* corner = jets.row(at.row - 1) + at.column - 1;
    interpolate_parts<Quad>(corner, stride, Jet::VALUE, at, result[x]);
    if (with_second) interpolate_parts<Pair>(corner, stride, Jet::XY, at, result[x]);
  }
}

}  // namespace

Jets differentiate(Image& image, Memory* memory) {
  const Size size = image.size();
  image.extend();
  Image x(size, memory), y(size, memory);
  const int64_t stride = image.row(1) - image.row(0);
  for (int64_t at = 0; at < size.height; ++at) gradient_row(size.width, image.row(at), stride, x.row(at), y.row(at));
  x.extend();
  y.extend();
  Jets jets(size, memory);
  for (int64_t at = 0; at < size.height; ++at) {
    jet_row(size.width, image.row(at), x.row(at), y.row(at), stride, jets.row(at));
  }
  jets.extend();
  return jets;
}

LRCN_VECTORISED
void sample_row(const Jets& jets, const Image& flow, int64_t y, Jet* result, float* inside) {
  sample<true>(jets, flow, y, result, inside);
}

LRCN_VECTORISED
void sample_gradient_row(const Jets& jets, const Image& flow, int64_t y, Jet* result, float* inside) {
  sample<false>(jets, flow, y, result, inside);
}

}  // namespace lrcn::flow
