#include "flow/energy.h"

#include <vector>

#include "flow/arithmetic.h"

namespace lrcn::flow {
namespace {

LRCN_VECTORISED
void data_row(int64_t count, float gamma, const Jet* previous, const Jet* warped, const float* inside, float* square) {
  for (int64_t i = 0; i < count; ++i) square[i] = data_square(previous[i], warped[i], gamma, inside[i]);
}

// |grad u|^2 + |grad v|^2: the mean over both sides of the pixel, as in the solver.
LRCN_VECTORISED
void smoothness_row(int64_t count, const Pixel* above, const Pixel* here, const Pixel* below, float* square) {
  for (int64_t i = 0; i < count; ++i) {
    const Pixel axes = squared_gradient(here[i], Around<Pixel>{here[i - 1], here[i + 1], above[i], below[i]});
    square[i] = 0.5f * (axes[0] + axes[1]);
  }
}

}  // namespace

LRCN_VECTORISED
double robust_sum(int64_t count, const float* squares, float epsilon) {
  const float epsilon_squared = epsilon * epsilon;
  double sums[LANES] = {};
  const int64_t whole = count / LANES * LANES;
  for (int64_t i = 0; i < whole; i += LANES) {
    for (int64_t lane = 0; lane < LANES; ++lane) sums[lane] += robust(squares[i + lane], epsilon_squared);
  }
  for (int64_t i = whole; i < count; ++i) sums[i - whole] += robust(squares[i], epsilon_squared);
  double sum = 0.0;
  for (const double lane : sums) sum += lane;
  return sum;
}

double data_energy(const Jets& previous, const Jets& following, const Image& flow, float gamma, float epsilon) {
  std::vector<Jet> warped(flow.width);
  std::vector<float> inside(flow.width), squares(flow.width);
  double sum = 0.0;
  for (int64_t y = 0; y < flow.height; ++y) {
    sample_gradient_row(following, flow, y, warped.data(), inside.data());
    data_row(flow.width, gamma, previous.row(y), warped.data(), inside.data(), squares.data());
    sum += robust_sum(flow.width, squares.data(), epsilon);
  }
  return sum;
}

double smoothness_energy(Image& flow, float epsilon) {
  flow.extend();
  std::vector<float> squares(flow.width);
  double sum = 0.0;
  for (int64_t y = 0; y < flow.height; ++y) {
    smoothness_row(flow.width, flow.row(y - 1), flow.row(y), flow.row(y + 1), squares.data());
    sum += robust_sum(flow.width, squares.data(), epsilon);
  }
  return sum;
}

}  // namespace lrcn::flow
