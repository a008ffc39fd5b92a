// Matrices turned in memory.
#pragma once

#include <cstdint>

namespace lrcn {

// The rows begin..end of the transpose: to (columns, rows), rows of `to_step` values, of from (rows, columns), rows of
// `from_step` values.
void transpose(int64_t rows, const float* from, int64_t from_step, float* to, int64_t to_step, int64_t begin,
               int64_t end);

}  // namespace lrcn
