// Images with their derivatives, and their values between pixels.
#pragma once

#include "flow/arithmetic.h"
#include "flow/image.h"

namespace lrcn::flow {

using Jet = JetOf<Pixel>;
using Jets = Grid<Jet>;

// The jets of an image, by central differences of fourth order, border included; extends the image.
Jets differentiate(Image& image, Memory* memory);

// Row y of the jets that `flow` points to, result[x] = jets(y + flow_y, x + flow_x), by cubic convolution (Keys 1981);
// where the point is not on the image, inside[x] is 0 and the nearest point of the edge is taken; elsewhere it is 1.
void sample_row(const Jets& jets, const Image& flow, int64_t y, Jet* result, float* inside);

// The same without the second derivatives: XX and on are undefined.
void sample_gradient_row(const Jets& jets, const Image& flow, int64_t y, Jet* result, float* inside);

}  // namespace lrcn::flow
