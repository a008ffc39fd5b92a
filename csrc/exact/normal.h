// Normal numbers from the words of a generator, by boost's ziggurat.
#pragma once

#include <cstdint>

namespace lrcn::exact {

// The layers of equal area under a falling density, from the bottom one, whose tail begins at width[1]; one entry more
// for the top.
struct Ziggurat {
  const double* width;
  const double* height;
};

struct Drawn {
  int64_t values, words;  // how many were made, how many were used
};

// Makes up to `count` numbers of mean 0 and deviation 1, of which each takes one word or more, until the words run out;
// what is left then of the words belongs to the number that they did not suffice for. `normal` has 128 layers,
// `exponential` 256.
Drawn draw_normal(const Ziggurat& normal, const Ziggurat& exponential, int64_t word_count, const uint32_t* words,
                  int64_t count, float* values);

}  // namespace lrcn::exact
