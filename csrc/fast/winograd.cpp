#include "fast/winograd.h"

#include <vector>

#include "vectorised.h"

namespace lrcn::fast {

namespace {

// The pixels of a 4x4 or 2x2 part of an image, beginning at (top, left), in which those outside are `outside`.
template <int64_t size, class Value>
LRCN_INLINE void gather(const Channels& image, Value* x, int64_t top, int64_t left, Value* outside,
                        Value* (&pixels)[size][size]) {
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t j = 0; j < size; ++j) {
      const int64_t h = top + i, w = left + j;
      const bool inside = h >= 0 && h < image.height && w >= 0 && w < image.width;
      pixels[i][j] = inside ? x + (h * image.width + w) * image.step : outside;
    }
  }
}

LRCN_VECTORISED
void input_tile(int64_t channels, const float* const (&pixels)[4][4], const Points& points, int64_t offset) {
#pragma GCC ivdep
  for (int64_t c = 0; c < channels; ++c) {
    float rows[4][4];
#pragma GCC unroll 4
    for (int64_t j = 0; j < 4; ++j) {
      const float d_0 = pixels[0][j][c], d_1 = pixels[1][j][c], d_2 = pixels[2][j][c], d_3 = pixels[3][j][c];
      rows[0][j] = d_0 - d_2;
      rows[1][j] = d_1 + d_2;
      rows[2][j] = d_2 - d_1;
      rows[3][j] = d_1 - d_3;
    }
#pragma GCC unroll 4
    for (int64_t i = 0; i < 4; ++i) {
      points[4 * i][offset + c] = rows[i][0] - rows[i][2];
      points[4 * i + 1][offset + c] = rows[i][1] + rows[i][2];
      points[4 * i + 2][offset + c] = rows[i][2] - rows[i][1];
      points[4 * i + 3][offset + c] = rows[i][1] - rows[i][3];
    }
  }
}

LRCN_VECTORISED
void output_tile(int64_t channels, const ConstPoints& points, int64_t offset, const float* bias,
                 float* const (&pixels)[2][2]) {
#pragma GCC ivdep
  for (int64_t c = 0; c < channels; ++c) {
    float rows[2][4];
#pragma GCC unroll 4
    for (int64_t j = 0; j < 4; ++j) {
      const float m_0 = points[j][offset + c], m_1 = points[4 + j][offset + c], m_2 = points[8 + j][offset + c],
                  m_3 = points[12 + j][offset + c];
      rows[0][j] = m_0 + m_1 + m_2;
      rows[1][j] = m_1 - m_2 - m_3;
    }
#pragma GCC unroll 2
    for (int64_t i = 0; i < 2; ++i) {
      pixels[i][0][c] = rows[i][0] + rows[i][1] + rows[i][2] + bias[c];
      pixels[i][1][c] = rows[i][1] - rows[i][2] - rows[i][3] + bias[c];
    }
  }
}

}  // namespace

void transform_inputs(const Channels& image, const float* x, const Tiling& outputs, int64_t pad_height,
                      int64_t pad_width, const Points& points) {
  const std::vector<float> zeros(image.channels, 0.0f);
  const float* pixels[4][4];
  for (int64_t tile = 0; tile < outputs.count(); ++tile) {
    const int64_t row = tile / outputs.columns(), column = tile % outputs.columns();
    gather<4>(image, x, 2 * row - pad_height, 2 * column - pad_width, zeros.data(), pixels);
    input_tile(image.channels, pixels, points, tile * image.channels);
  }
}

void transform_products(const ConstPoints& points, const float* bias, const Channels& image, float* y) {
  const Tiling tiles{image.height, image.width};
  const std::vector<float> zeros(image.channels, 0.0f);
  std::vector<float> nowhere(image.channels);
  float* pixels[2][2];
  for (int64_t tile = 0; tile < tiles.count(); ++tile) {
    gather<2>(image, y, tile / tiles.columns() * 2, tile % tiles.columns() * 2, nowhere.data(), pixels);
    output_tile(image.channels, points, tile * image.channels, bias ? bias : zeros.data(), pixels);
  }
}

}  // namespace lrcn::fast
