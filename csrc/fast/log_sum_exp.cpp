#include "fast/log_sum_exp.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "exponential.h"
#include "vectorised.h"

namespace lrcn::fast {

namespace {

// Values that are summed side by side, for wide vectors and short chains of additions.
constexpr int64_t LANES = 64;

}  // namespace

LRCN_VECTORISED
void log_sum_exp(int64_t rows, int64_t count, const float* x, float* y) {
  const int64_t whole = count / LANES * LANES;
  for (; rows > 0; --rows, x += count, ++y) {
    float largest[LANES], sums[LANES];
    for (int64_t j = 0; j < LANES; ++j) {
      largest[j] = -std::numeric_limits<float>::infinity();
      sums[j] = 0;
    }
    for (int64_t k = 0; k < whole; k += LANES) {
      for (int64_t j = 0; j < LANES; ++j) largest[j] = x[k + j] > largest[j] ? x[k + j] : largest[j];
    }
    const float shift = std::max(*std::max_element(largest, largest + LANES),
                                 whole < count ? *std::max_element(x + whole, x + count) : largest[0]);
    if (std::isinf(shift)) {  // a maximum passes over NaN, which the sum below does not
      *y = std::any_of(x, x + count, [](float value) { return std::isnan(value); }) ? NAN : shift;
      continue;
    }
    for (int64_t k = 0; k < whole; k += LANES) {
      for (int64_t j = 0; j < LANES; ++j) sums[j] += exponential(x[k + j] - shift);
    }
    for (int64_t k = whole; k < count; ++k) sums[k - whole] += exponential(x[k] - shift);
    float sum = 0;
    for (int64_t j = 0; j < LANES; ++j) sum += sums[j];
    *y = shift + std::log(sum);
  }
}

}  // namespace lrcn::fast
