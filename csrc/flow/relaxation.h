// The linear solver of the inner fixed-point iterations (Brox et al. 2004, section 3.2).
#pragma once

#include "flow/image.h"
#include "flow/split.h"

namespace lrcn::flow {

// The increment (du, dv) that one warp step adds to the flow.
class Increment {
public:
  // tensor: the data term at the flow so far; flow: the flow so far.
  Increment(const SplitPlanes& tensor, const Image& flow, Memory* memory);

  // One inner fixed-point iteration: the robust weights at the increment so far (alpha: of smoothness against data,
  // epsilon: of the robust function), then `sweeps` sweeps of successive
  // over-relaxation by `omega` on the linear system that they make; within a sweep first one colour of a
  // checkerboard, then the other; x and y of a pixel are solved for together.
  void iterate(float alpha, float epsilon, int64_t sweeps, float omega);

  // Adds so large a part of the increment to the flow.
  void add_to(Image& flow, float part) const;

private:
  void weigh_smoothness(int64_t y, float alpha, float epsilon);
  void assemble(int64_t y, float epsilon);
  void relax(int64_t y, int64_t parity, float omega);

  enum Unknown { FLOW_X, FLOW_Y, DX, DY, UNKNOWNS };
  enum Coefficient {
    EDGE_RIGHT,
    EDGE_DOWN,
    SQUARE_RIGHT,
    SQUARE_DOWN,
    SMOOTHNESS,
    INVERSE_XX,
    INVERSE_XY,
    INVERSE_YY,
    RIGHT_X,
    RIGHT_Y,
    COEFFICIENTS
  };

  const int64_t height_, width_;
  const SplitPlanes& tensor_;
  SplitPlanes unknowns_, coefficients_;
};

}  // namespace lrcn::flow
