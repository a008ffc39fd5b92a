#include "flow/relaxation.h"

#include <vector>

#include "flow/arithmetic.h"
#include "flow/data_term.h"

namespace lrcn::flow {
namespace {

// Where the neighbours of value k of a part are in the other part of the same row: at k + left and k + right.
constexpr int64_t left_of(int64_t parity) { return parity - 1; }
constexpr int64_t right_of(int64_t parity) { return parity; }

using Rows = Around<const float*>;

LRCN_INLINE Around<float> at(const Rows& rows, int64_t k) {
  return {rows.left[k], rows.right[k], rows.up[k], rows.down[k]};
}

LRCN_VECTORISED
void squared_differences(int64_t count, const float* __restrict u, const float* __restrict v,
                         const float* __restrict du, const float* __restrict dv, const float* __restrict u_next,
                         const float* __restrict v_next, const float* __restrict du_next,
                         const float* __restrict dv_next, float* __restrict square) {
  for (int64_t k = 0; k < count; ++k) {
    square[k] = squared_difference(u[k], v[k], du[k], dv[k], u_next[k], v_next[k], du_next[k], dv_next[k]);
  }
}

LRCN_VECTORISED
void smoothness_weights(int64_t count, float alpha, float epsilon_squared, Rows squares, float* __restrict weight) {
  for (int64_t k = 0; k < count; ++k) weight[k] = smoothness_weight(alpha, epsilon_squared, at(squares, k));
}

LRCN_VECTORISED
void mean_weights(int64_t count, const float* __restrict weight, const float* __restrict next, float* __restrict edge) {
  for (int64_t k = 0; k < count; ++k) edge[k] = edge_weight(weight[k], next[k]);
}

LRCN_VECTORISED
void assemble_row(int64_t count, float epsilon_squared, Rows edge, const float* __restrict u, Rows u_around,
                  const float* __restrict v, Rows v_around, const float* __restrict du, const float* __restrict dv,
                  const float* __restrict j_xx, const float* __restrict j_xy, const float* __restrict j_yy,
                  const float* __restrict j_xt, const float* __restrict j_yt, const float* __restrict j_tt,
                  float* __restrict inverse_xx, float* __restrict inverse_xy, float* __restrict inverse_yy,
                  float* __restrict right_x, float* __restrict right_y) {
  for (int64_t k = 0; k < count; ++k) {
    const float j[ENTRIES] = {j_xx[k], j_xy[k], j_yy[k], j_xt[k], j_yt[k], j_tt[k]};
    const Equations here =
        assembled(epsilon_squared, at(edge, k), u[k], at(u_around, k), v[k], at(v_around, k), du[k], dv[k], j);
    inverse_xx[k] = here.inverse_xx;
    inverse_xy[k] = here.inverse_xy;
    inverse_yy[k] = here.inverse_yy;
    right_x[k] = here.right_x;
    right_y[k] = here.right_y;
  }
}

LRCN_VECTORISED
void relax_row(int64_t count, float omega, Rows edge, Rows du_around, Rows dv_around,
               const float* __restrict inverse_xx, const float* __restrict inverse_xy,
               const float* __restrict inverse_yy, const float* __restrict right_x, const float* __restrict right_y,
               float* __restrict du, float* __restrict dv) {
  for (int64_t k = 0; k < count; ++k) {
    const Equations here = {inverse_xx[k], inverse_xy[k], inverse_yy[k], right_x[k], right_y[k]};
    relax(omega, at(edge, k), at(du_around, k), at(dv_around, k), here, du[k], dv[k]);
  }
}

// The values around those of row y, part `parity`, of a plane.
Rows around(const SplitPlanes& planes, int64_t plane, int64_t parity, int64_t y) {
  const float* beside = planes.row(plane, 1 - parity, y);
  return {beside + left_of(parity), beside + right_of(parity), planes.row(plane, parity, y - 1),
          planes.row(plane, parity, y + 1)};
}

// The same of values that belong to edges between pixels, where each pixel holds those at its right and below it.
Rows edges_around(const SplitPlanes& planes, int64_t right, int64_t down, int64_t parity, int64_t y) {
  return {planes.row(right, 1 - parity, y) + left_of(parity), planes.row(right, parity, y),
          planes.row(down, parity, y - 1), planes.row(down, parity, y)};
}

}  // namespace

Increment::Increment(const SplitPlanes& tensor, const Image& flow, Memory* memory)
    : height_(flow.height),
      width_(flow.width),
      tensor_(tensor),
      unknowns_(UNKNOWNS, flow.size(), memory),
      coefficients_(COEFFICIENTS, flow.size(), memory) {
  std::vector<float> values(width_);
  for (int64_t axis = 0; axis < 2; ++axis) {
    for (int64_t y = 0; y < height_; ++y) {
      for (int64_t x = 0; x < width_; ++x) values[x] = flow.row(y)[x][axis];
      unknowns_.set_row(axis == 0 ? FLOW_X : FLOW_Y, y, values.data());
    }
  }
}

void Increment::iterate(float alpha, float epsilon, int64_t sweeps, float omega) {
  // All passes over the rows at once, each a row behind the one before it: a row stays in the cache until it is done.
  const int64_t passes = 2 * sweeps;
  for (int64_t front = 0; front < height_ + passes + 1; ++front) {
    if (front < height_) weigh_smoothness(front, alpha, epsilon);
    if (front >= 1 && front <= height_) assemble(front - 1, epsilon);
    for (int64_t pass = 0; pass < passes; ++pass) {
      const int64_t y = front - 1 - pass;
      if (y >= 0 && y < height_) relax(y, (y + pass) % 2, omega);
    }
  }
}

void Increment::weigh_smoothness(int64_t y, float alpha, float epsilon) {
  const int64_t part = unknowns_.part, last = width_ - 1;
  for (int64_t parity = 0; parity < 2; ++parity) {
    const auto differences = [&](int64_t next_parity, int64_t shift, int64_t next_y, Coefficient square) {
      const auto here = [&](Unknown which) { return unknowns_.row(which, parity, y); };
      const auto next = [&](Unknown which) { return unknowns_.row(which, next_parity, next_y) + shift; };
      squared_differences(part, here(FLOW_X), here(FLOW_Y), here(DX), here(DY), next(FLOW_X), next(FLOW_Y), next(DX),
                          next(DY), coefficients_.row(square, parity, y));
    };
    differences(1 - parity, right_of(parity), y, SQUARE_RIGHT);
    if (y + 1 < height_) differences(parity, 0, y + 1, SQUARE_DOWN);
  }
  coefficients_.row(SQUARE_RIGHT, last % 2, y)[last / 2] = 0.0f;
  for (int64_t parity = 0; parity < 2; ++parity) {
    const Rows squares = edges_around(coefficients_, SQUARE_RIGHT, SQUARE_DOWN, parity, y);
    smoothness_weights(part, alpha, epsilon * epsilon, squares, coefficients_.row(SMOOTHNESS, parity, y));
  }
  for (int64_t parity = 0; parity < 2; ++parity) {
    const float* weight = coefficients_.row(SMOOTHNESS, parity, y);
    mean_weights(part, weight, coefficients_.row(SMOOTHNESS, 1 - parity, y) + right_of(parity),
                 coefficients_.row(EDGE_RIGHT, parity, y));
    if (y > 0) {
      mean_weights(part, coefficients_.row(SMOOTHNESS, parity, y - 1), weight,
                   coefficients_.row(EDGE_DOWN, parity, y - 1));
    }
    // No edge leads beyond the last column.
    for (int64_t k = (last + 1 - parity) / 2; k < part; ++k) coefficients_.row(EDGE_RIGHT, parity, y)[k] = 0.0f;
  }
}

void Increment::assemble(int64_t y, float epsilon) {
  for (int64_t parity = 0; parity < 2; ++parity) {
    const auto unknown = [&](Unknown which) { return unknowns_.row(which, parity, y); };
    const auto j = [&](Entry which) { return tensor_.row(which, parity, y); };
    const auto out = [&](Coefficient which) { return coefficients_.row(which, parity, y); };
    assemble_row(unknowns_.part, epsilon * epsilon, edges_around(coefficients_, EDGE_RIGHT, EDGE_DOWN, parity, y),
                 unknown(FLOW_X), around(unknowns_, FLOW_X, parity, y), unknown(FLOW_Y),
                 around(unknowns_, FLOW_Y, parity, y), unknown(DX), unknown(DY), j(XX), j(XY), j(YY), j(XT), j(YT),
                 j(TT), out(INVERSE_XX), out(INVERSE_XY), out(INVERSE_YY), out(RIGHT_X), out(RIGHT_Y));
  }
}

void Increment::relax(int64_t y, int64_t parity, float omega) {
  const auto in = [&](Coefficient which) { return coefficients_.row(which, parity, y); };
  relax_row(unknowns_.part, omega, edges_around(coefficients_, EDGE_RIGHT, EDGE_DOWN, parity, y),
            around(unknowns_, DX, parity, y), around(unknowns_, DY, parity, y), in(INVERSE_XX), in(INVERSE_XY),
            in(INVERSE_YY), in(RIGHT_X), in(RIGHT_Y), unknowns_.row(DX, parity, y), unknowns_.row(DY, parity, y));
}

void Increment::add_to(Image& flow, float part) const {
  std::vector<float> increment(width_);
  for (int64_t axis = 0; axis < 2; ++axis) {
    for (int64_t y = 0; y < height_; ++y) {
      unknowns_.get_row(axis == 0 ? DX : DY, y, increment.data());
      for (int64_t x = 0; x < width_; ++x) flow.row(y)[x][axis] += part * increment[x];
    }
  }
}

}  // namespace lrcn::flow
