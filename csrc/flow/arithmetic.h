// The arithmetic of one pixel, on the CPU and on a GPU: the only copy. The passes over all pixels follow each other in
// the same order on both, and no multiplication is fused with an addition, so that both give the same bits.
//
// Channels is a type of four values that are computed with at once: Pixel on the CPU.
#pragma once

#include <cmath>
#include <cstdint>

#include "vectorised.h"

namespace lrcn::flow {

// ---- Sums over consecutive samples, of which at(k) is number k

template <class Weight, class At>
LRCN_INLINE auto weighted_sum(int64_t count, Weight weight, At at) {
  auto sum = weight(0) * at(0);
  for (int64_t k = 1; k < count; ++k) sum += weight(k) * at(k);
  return sum;
}

// From -radius to radius: the centre, then pairs of equal weight: mirrored images give mirrored bits.
template <class At>
LRCN_INLINE auto symmetric_sum(int64_t radius, const float* weights, At at) {
  auto sum = weights[0] * at(0);
  for (int64_t k = 1; k <= radius; ++k) sum += weights[k] * (at(-k) + at(k));
  return sum;
}

// ---- One axis on a grid of another size

// The part of the axis that an output covers, and the first of the samples that it is the mean of.
struct Area {
  double begin, end, step;
  int64_t first;
};

LRCN_INLINE Area area(int64_t inputs, int64_t outputs, int64_t samples, int64_t output) {
  const double step = static_cast<double>(inputs) / outputs, begin = output * step;
  const int64_t first = static_cast<int64_t>(begin), last = inputs - samples;
  return {begin, (output + 1) * step, step, first < last ? first : last};
}

// Of sample first + k.
LRCN_INLINE float area_weight(const Area& area, int64_t k) {
  const double begin = area.first + k, end = area.first + k + 1;
  const double covered = (area.end < end ? area.end : end) - (area.begin > begin ? area.begin : begin);
  return static_cast<float>((covered > 0.0 ? covered : 0.0) / area.step);
}

// The first of the two samples beside an output, and the weight of the second.
struct Between {
  int64_t first;
  float fraction;
};

LRCN_INLINE Between between(int64_t inputs, int64_t outputs, int64_t output) {
  const double step = static_cast<double>(inputs) / outputs, last = inputs - 1.0;
  const double centre = (output + 0.5) * step - 0.5;
  const double on_axis = centre > 0.0 ? (centre < last ? centre : last) : 0.0;
  const int64_t first = static_cast<int64_t>(on_axis);
  return {first, static_cast<float>(on_axis - first)};
}

// ---- Images with their derivatives, and their values between pixels

// An image and its derivatives at one point, channel by channel.
template <class Channels>
struct alignas(2 * sizeof(Channels)) JetOf {
  enum Part { VALUE, X, Y, XX, XY, YY, PARTS };
  Channels part[PARTS];
};

// The derivative from samples one and two steps before and after.
template <class Channels>
LRCN_INLINE Channels difference(Channels before2, Channels before1, Channels after1, Channels after2) {
  return (8.0f / 12.0f) * (after1 - before1) - (1.0f / 12.0f) * (after2 - before2);
}

// Where a flow leads: the second row and column of the four of each around that point, and their weights. Where that
// is not on the image `inside` is 0, and the point is the nearest one of the edge; elsewhere it is 1.
struct Target {
  int64_t row, column;
  float down[4], across[4];
  float inside;
};

// At t (0 to 1) after the second sample; at t = 0 exactly 0, 1, 0, 0.
LRCN_INLINE void cubic_weights(float t, float* weights) {
  const float t2 = t * t, t3 = t2 * t;
  weights[0] = -0.5f * t3 + t2 - 0.5f * t;
  weights[1] = 1.5f * t3 - 2.5f * t2 + 1.0f;
  weights[2] = -1.5f * t3 + 2.0f * t2 + 0.5f * t;
  weights[3] = 0.5f * t3 - 0.5f * t2;
}

LRCN_INLINE float clamped(float x, float last) { return x > 0.0f ? (x < last ? x : last) : 0.0f; }

// From (x, y) by (flow_x, flow_y), on an image of this size.
LRCN_INLINE Target target(int64_t height, int64_t width, int64_t y, int64_t x, float flow_x, float flow_y) {
  const float at_x = static_cast<float>(x) + flow_x, at_y = static_cast<float>(y) + flow_y;
  const float on_x = clamped(at_x, static_cast<float>(width - 1)), on_y = clamped(at_y, static_cast<float>(height - 1));
  Target result;
  result.inside = on_x == at_x && on_y == at_y ? 1.0f : 0.0f;
  result.row = static_cast<int64_t>(on_y);
  result.column = static_cast<int64_t>(on_x);
  cubic_weights(on_y - static_cast<float>(result.row), result.down);
  cubic_weights(on_x - static_cast<float>(result.column), result.across);
  return result;
}

// Cubic convolution (Keys 1981); load(k, l, sample) brings the sample in row k, column l of the 4 x 4 of the target.
template <class Samples, class Load>
LRCN_INLINE void interpolate(const Target& target, Load load, Samples& result) {
  result = Samples{};
  for (int64_t k = 0; k < 4; ++k) {
    Samples samples[4];
    for (int64_t l = 0; l < 4; ++l) load(k, l, samples[l]);
    result += target.down[k] * ((target.across[0] * samples[0] + target.across[1] * samples[1]) +
                                (target.across[2] * samples[2] + target.across[3] * samples[3]));
  }
}

// ---- The data term

// The entries of the symmetric matrix J, 3 x 3 at every pixel, with which the constancy of brightness and gradient at
// the increment (du, dv) is the quadratic form (du, dv, 1) J (du, dv, 1)^T.
enum Entry { XX, XY, YY, XT, YT, TT, ENTRIES };

template <class Channels>
LRCN_INLINE float sum(Channels channels) {
  return (channels[0] + channels[1]) + (channels[2] + channels[3]);
}

// The square of what is not constant: the brightness, and gamma times the gradient, summed over the channels.
template <class Channels>
LRCN_INLINE float data_square(const JetOf<Channels>& previous, const JetOf<Channels>& warped, float gamma,
                              float inside) {
  using Jet = JetOf<Channels>;
  const auto change = [&](int part) { return warped.part[part] - previous.part[part]; };
  const Channels t = change(Jet::VALUE), xt = change(Jet::X), yt = change(Jet::Y);
  return inside * sum(t * t + gamma * (xt * xt + yt * yt));
}

// J. Differences (t) are between the images; derivatives are the mean of both images'.
template <class Channels>
LRCN_INLINE void data_tensor(const JetOf<Channels>& previous, const JetOf<Channels>& warped, float gamma, float inside,
                             float (&j)[ENTRIES]) {
  using Jet = JetOf<Channels>;
  const auto mean = [&](int part) { return 0.5f * (previous.part[part] + warped.part[part]); };
  const auto change = [&](int part) { return warped.part[part] - previous.part[part]; };
  const Channels x = mean(Jet::X), y = mean(Jet::Y), xx = mean(Jet::XX), xy = mean(Jet::XY), yy = mean(Jet::YY);
  const Channels t = change(Jet::VALUE), xt = change(Jet::X), yt = change(Jet::Y);
  j[XX] = inside * sum(x * x + gamma * (xx * xx + xy * xy));
  j[XY] = inside * sum(x * y + gamma * (xx * xy + xy * yy));
  j[YY] = inside * sum(y * y + gamma * (xy * xy + yy * yy));
  j[XT] = inside * sum(x * t + gamma * (xx * xt + xy * yt));
  j[YT] = inside * sum(y * t + gamma * (xy * xt + yy * yt));
  j[TT] = data_square(previous, warped, gamma, inside);
}

// ---- The energy

// psi(s^2), the robust function.
LRCN_INLINE float robust(float square, float epsilon_squared) { return std::sqrt(square + epsilon_squared); }

// Its sum over many pixels has so many parts, in turn, each in double precision.
constexpr int64_t LANES = 8;

// What `around` is for one value.
template <class Value>
struct Around {
  Value left, right, up, down;
};

// Twice the square of the gradient of one axis of the flow: the sum over both sides of the pixel.
template <class Value>
LRCN_INLINE Value squared_gradient(Value here, const Around<Value>& around) {
  const Value left = here - around.left, right = around.right - here, up = here - around.up, down = around.down - here;
  return (left * left + right * right) + (up * up + down * down);
}

// ---- The linear system of an inner iteration, and its solver

using Edges = Around<float>;

// The squared difference of the flow (u, v), increments (du, dv) included, between a pixel and the next one.
LRCN_INLINE float squared_difference(float u, float v, float du, float dv, float u_next, float v_next, float du_next,
                                     float dv_next) {
  const float x = (u_next + du_next) - (u + du), y = (v_next + dv_next) - (v + dv);
  return x * x + y * y;
}

// alpha psi'(|grad u|^2 + |grad v|^2) / 2: the gradient's square is the mean over both sides of the pixel.
LRCN_INLINE float smoothness_weight(float alpha, float epsilon_squared, const Edges& squares) {
  const float square = 0.5f * ((squares.left + squares.right) + (squares.up + squares.down));
  return 0.5f * alpha / robust(square, epsilon_squared);
}

// Of the edge between two pixels.
LRCN_INLINE float edge_weight(float weight, float next) { return 0.5f * (weight + next); }

// The system at one pixel: the inverse of its 2 x 2 block, and its right-hand side.
struct Equations {
  float inverse_xx, inverse_xy, inverse_yy, right_x, right_y;
};

LRCN_INLINE float weighted(const Edges& edges, const Around<float>& values) {
  return (edges.left * values.left + edges.right * values.right) + (edges.up * values.up + edges.down * values.down);
}

LRCN_INLINE Around<float> minus(const Around<float>& values, float here) {
  return {values.left - here, values.right - here, values.up - here, values.down - here};
}

LRCN_INLINE Equations assembled(float epsilon_squared, const Edges& edge, float u, const Around<float>& u_around,
                                float v, const Around<float>& v_around, float du, float dv, const float (&j)[ENTRIES]) {
  const float square = du * (j[XX] * du + 2.0f * (j[XY] * dv + j[XT])) + (dv * (j[YY] * dv + 2.0f * j[YT]) + j[TT]);
  const float weight = 0.5f / robust(square > 0.0f ? square : 0.0f, epsilon_squared);
  const float edges = ((edge.left + edge.right) + (edge.up + edge.down)) + 1e-6f;  // more than 0 beyond the image too
  // The determinant as a sum of what is never negative: nothing cancels where the data fixes one direction only.
  const float minor = j[XX] * j[YY] - j[XY] * j[XY];
  const float determinant =
      weight * weight * (minor > 0.0f ? minor : 0.0f) + edges * (weight * (j[XX] + j[YY]) + edges);
  const float scale = 1.0f / determinant;
  return {scale * (weight * j[YY] + edges), -scale * (weight * j[XY]), scale * (weight * j[XX] + edges),
          weighted(edge, minus(u_around, u)) - weight * j[XT], weighted(edge, minus(v_around, v)) - weight * j[YT]};
}

// One step of over-relaxation; the increments around are those of the other colour.
LRCN_INLINE void relax(float omega, const Edges& edge, const Around<float>& du_around, const Around<float>& dv_around,
                       const Equations& equations, float& du, float& dv) {
  const float rest = 1.0f - omega;
  const float x = equations.right_x + weighted(edge, du_around), y = equations.right_y + weighted(edge, dv_around);
  du = rest * du + omega * (equations.inverse_xx * x + equations.inverse_xy * y);
  dv = rest * dv + omega * (equations.inverse_xy * x + equations.inverse_yy * y);
}

}  // namespace lrcn::flow
