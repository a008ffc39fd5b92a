#include "exact/normal.h"

#include <cmath>

namespace lrcn::exact {

namespace {

// Words one by one; zeros when there are no more.
struct Words {
  const uint32_t* words;
  int64_t count, used;

  bool exhausted() const { return used > count; }

  uint32_t next() {
    const int64_t position = used++;
    return position < count ? words[position] : 0;
  }

  // From 0 up to but not including 1.
  float uniform() {
    while (true) {
      const float value = static_cast<float>(next()) * 0x1p-32f;
      if (value < 1) return value;
    }
  }
};

// The upper 24 bits as a number from 0 up to 1; the lower 8 choose a layer.
float fraction(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }

// A point of a layer beside what lies wholly under the density.
struct Point {
  float y;            // its height
  float to_diagonal;  // how far it lies above the diagonal of that part of the layer

  Point(const Ziggurat& z, uint32_t layer, float x, float y01)
      : y(static_cast<float>(z.height[layer]) + y01 * static_cast<float>(z.height[layer + 1] - z.height[layer])),
        to_diagonal(static_cast<float>(z.width[layer] - z.width[layer + 1]) * y01 -
                    (static_cast<float>(z.width[layer]) - x)) {}
};

// An exponential number of mean 1; its tail is the whole over again, further out.
float draw_exponential(const Ziggurat& z, Words& words) {
  float shift = 0;
  while (true) {
    const uint32_t word = words.next(), layer = word & 255;
    const float x = fraction(word) * static_cast<float>(z.width[layer]);
    const float width = static_cast<float>(z.width[layer + 1]);
    if (x < width || words.exhausted()) return shift + x;
    if (layer == 0) {
      shift += static_cast<float>(z.width[1]);
      continue;
    }
    const float height = static_cast<float>(z.height[layer + 1]);
    const Point point(z, layer, x, words.uniform());
    if (point.to_diagonal < 0 && (point.y - (height + (width - x) * height) < 0 || point.y < std::exp(-x))) {
      return x + shift;
    }
  }
}

float draw_tail(const Ziggurat& normal, const Ziggurat& exponential, Words& words) {
  const float start = static_cast<float>(normal.width[1]);
  while (true) {
    const float x = draw_exponential(exponential, words) / start;
    const float y = draw_exponential(exponential, words);
    if (2 * y > x * x || words.exhausted()) return x + start;
  }
}

// Whether a point of a layer that is not plainly under the density lies there all the same.
bool lies_under(const Ziggurat& normal, uint32_t layer, float x, Words& words) {
  const float width = static_cast<float>(normal.width[layer]), height = static_cast<float>(normal.height[layer]);
  const Point point(normal, layer, x, words.uniform());
  const float to_tangent = point.y - (height + (width - x) * height * width);
  const bool is_convex = normal.width[layer] >= 1;
  const float to_upper = is_convex ? point.to_diagonal : to_tangent;
  const float to_lower = is_convex ? to_tangent : point.to_diagonal;
  return to_upper < 0 && (to_lower < 0 || point.y < std::exp(-(x * x / 2)));
}

}  // namespace

Drawn draw_normal(const Ziggurat& normal, const Ziggurat& exponential, int64_t word_count, const uint32_t* words,
                  int64_t count, float* values) {
  Drawn drawn = {0, 0};
  Words source = {words, word_count, 0};
  while (drawn.values < count) {
    const uint32_t word = source.next(), layer = (word & 255) >> 1;
    const float sign = word & 1 ? 1.0f : -1.0f;
    float x = fraction(word) * static_cast<float>(normal.width[layer]);
    bool accepted = x < normal.width[layer + 1];
    if (!accepted && layer == 0) {
      x = draw_tail(normal, exponential, source);
      accepted = true;
    } else if (!accepted) {
      accepted = lies_under(normal, layer, x, source);
    }
    if (source.exhausted()) return drawn;
    drawn.words = source.used;
    if (accepted) values[drawn.values++] = x * sign;
  }
  return drawn;
}

}  // namespace lrcn::exact
