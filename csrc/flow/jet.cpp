#include "flow/jet.h"

#include <cstring>

#include "flow/vectorised.h"

namespace lrcn::flow {
namespace {

// The derivative from samples one and two steps before and after.
LRCN_INLINE Pixel difference(Pixel before2, Pixel before1, Pixel after1, Pixel after2) {
  return (8.0f / 12.0f) * (after1 - before1) - (1.0f / 12.0f) * (after2 - before2);
}

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

// Weights of the four samples around a point `t` (0 to 1) after the second of them; at t = 0 exactly 0, 1, 0, 0.
LRCN_INLINE void cubic_weights(float t, float* weights) {
  const float t2 = t * t, t3 = t2 * t;
  weights[0] = -0.5f * t3 + t2 - 0.5f * t;
  weights[1] = 1.5f * t3 - 2.5f * t2 + 1.0f;
  weights[2] = -1.5f * t3 + 2.0f * t2 + 0.5f * t;
  weights[3] = 0.5f * t3 - 0.5f * t2;
}

LRCN_INLINE float clamped(float x, float last) { return x > 0.0f ? (x < last ? x : last) : 0.0f; }

// Several parts of a jet at once: four, VALUE to XX, and the other two.
using Quad = float __attribute__((vector_size(64)));
using Pair = float __attribute__((vector_size(32)));

template <typename Parts>
LRCN_INLINE void interpolate(const Jet* corner, int64_t stride, Jet::Part first, const float* across, const float* down,
                             Jet& result) {
  Parts sum = {};
  for (int64_t k = 0; k < 4; ++k, corner += stride) {
    Parts samples[4];
    for (int64_t l = 0; l < 4; ++l) std::memcpy(&samples[l], &corner[l].part[first], sizeof(Parts));
    sum += down[k] *
           ((across[0] * samples[0] + across[1] * samples[1]) + (across[2] * samples[2] + across[3] * samples[3]));
  }
  std::memcpy(&result.part[first], &sum, sizeof(Parts));
}

template <bool with_second>
LRCN_INLINE void sample(const Jets& jets, const Image& flow, int64_t y, Jet* result, float* inside) {
  const Pixel* flow_row = flow.row(y);
  const float right = static_cast<float>(jets.width - 1), bottom = static_cast<float>(jets.height - 1);
  const int64_t stride = jets.row(1) - jets.row(0);
  for (int64_t x = 0; x < flow.width; ++x) {
    const float at_x = static_cast<float>(x) + flow_row[x][0], at_y = static_cast<float>(y) + flow_row[x][1];
    const float on_x = clamped(at_x, right), on_y = clamped(at_y, bottom);
    inside[x] = on_x == at_x && on_y == at_y ? 1.0f : 0.0f;
    const int64_t column = static_cast<int64_t>(on_x), row = static_cast<int64_t>(on_y);
    float across[4], down[4];
    cubic_weights(on_x - static_cast<float>(column), across);
    cubic_weights(on_y - static_cast<float>(row), down);
    const Jet* corner = jets.row(row - 1) + column - 1;
    interpolate<Quad>(corner, stride, Jet::VALUE, across, down, result[x]);
    if (with_second) interpolate<Pair>(corner, stride, Jet::XY, across, down, result[x]);
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
