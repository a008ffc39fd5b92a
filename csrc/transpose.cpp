#include "transpose.h"

#include <algorithm>

#include "vectorised.h"

namespace lrcn {

namespace {

// Rows read side by side: a line of the cache is written from them at once.
constexpr int64_t ROWS = 16;

}  // namespace

LRCN_VECTORISED
void transpose(int64_t rows, const float* from, int64_t from_step, float* to, int64_t to_step, int64_t begin,
               int64_t end) {
  for (int64_t row = 0; row < rows; row += ROWS) {
    const int64_t count = std::min(ROWS, rows - row);
    for (int64_t column = begin; column < end; ++column) {
      const float* source = from + row * from_step + column;
      float* target = to + column * to_step + row;
      for (int64_t i = 0; i < count; ++i) target[i] = source[i * from_step];
    }
  }
}

}  // namespace lrcn
