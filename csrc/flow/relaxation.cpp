#include "flow/relaxation.h"

#include <cmath>
#include <vector>

#include "flow/data_term.h"
#include "flow/vectorised.h"

namespace lrcn::flow {
namespace {

// Where the neighbours of value k of a part are in the other part of the same row: at k + left and k + right.
constexpr int64_t left_of(int64_t parity) { return parity - 1; }
constexpr int64_t right_of(int64_t parity) { return parity; }

// The squared difference of the flow, increments included, between two rows of pixels.
LRCN_VECTORISED
void squared_differences(int64_t count, const float* __restrict u, const float* __restrict v,
                         const float* __restrict du, const float* __restrict dv, const float* __restrict u_next,
                         const float* __restrict v_next, const float* __restrict du_next,
                         const float* __restrict dv_next, float* __restrict square) {
  for (int64_t k = 0; k < count; ++k) {
    const float x = (u_next[k] + du_next[k]) - (u[k] + du[k]), y = (v_next[k] + dv_next[k]) - (v[k] + dv[k]);
    square[k] = x * x + y * y;
  }
}

// alpha psi'(|grad u|^2 + |grad v|^2) / 2: the gradient's square is the mean over both sides of the pixel.
LRCN_VECTORISED
void smoothness_weights(int64_t count, float alpha, float epsilon_squared, const float* __restrict left,
                        const float* __restrict right, const float* __restrict up, const float* __restrict down,
                        float* __restrict weight) {
  for (int64_t k = 0; k < count; ++k) {
    const float square = 0.5f * ((left[k] + right[k]) + (up[k] + down[k]));
    weight[k] = 0.5f * alpha / std::sqrt(square + epsilon_squared);
  }
}

LRCN_VECTORISED
void mean_weights(int64_t count, const float* __restrict weight, const float* __restrict next, float* __restrict edge) {
  for (int64_t k = 0; k < count; ++k) edge[k] = 0.5f * (weight[k] + next[k]);
}

struct Around {
  const float *left, *right, *up, *down;
};

LRCN_VECTORISED
void assemble_row(int64_t count, float epsilon_squared, Around edge, const float* __restrict u, Around u_around,
                  const float* __restrict v, Around v_around, const float* __restrict du, const float* __restrict dv,
                  const float* __restrict j_xx, const float* __restrict j_xy, const float* __restrict j_yy,
                  const float* __restrict j_xt, const float* __restrict j_yt, const float* __restrict j_tt,
                  float* __restrict inverse_xx, float* __restrict inverse_xy, float* __restrict inverse_yy,
                  float* __restrict right_x, float* __restrict right_y) {
  for (int64_t k = 0; k < count; ++k) {
    const float square = du[k] * (j_xx[k] * du[k] + 2.0f * (j_xy[k] * dv[k] + j_xt[k])) +
                         (dv[k] * (j_yy[k] * dv[k] + 2.0f * j_yt[k]) + j_tt[k]);
    const float weight = 0.5f / std::sqrt((square > 0.0f ? square : 0.0f) + epsilon_squared);
    const float left = edge.left[k], right = edge.right[k], up = edge.up[k], down = edge.down[k];
    const float edges = ((left + right) + (up + down)) + 1e-6f;  // more than 0 beyond the image too
    right_x[k] = ((left * (u_around.left[k] - u[k]) + right * (u_around.right[k] - u[k])) +
                  (up * (u_around.up[k] - u[k]) + down * (u_around.down[k] - u[k]))) -
                 weight * j_xt[k];
    right_y[k] = ((left * (v_around.left[k] - v[k]) + right * (v_around.right[k] - v[k])) +
                  (up * (v_around.up[k] - v[k]) + down * (v_around.down[k] - v[k]))) -
                 weight * j_yt[k];
    // The determinant as a sum of what is never negative: nothing cancels where the data fixes one direction only.
    const float minor = j_xx[k] * j_yy[k] - j_xy[k] * j_xy[k];
    const float determinant =
        weight * weight * (minor > 0.0f ? minor : 0.0f) + edges * (weight * (j_xx[k] + j_yy[k]) + edges);
    const float scale = 1.0f / determinant;
    inverse_xx[k] = scale * (weight * j_yy[k] + edges);
    inverse_xy[k] = -scale * (weight * j_xy[k]);
    inverse_yy[k] = scale * (weight * j_xx[k] + edges);
  }
}

LRCN_VECTORISED
void relax_row(int64_t count, float omega, Around edge, Around u, Around v, const float* __restrict inverse_xx,
               const float* __restrict inverse_xy, const float* __restrict inverse_yy, const float* __restrict right_x,
               const float* __restrict right_y, float* __restrict du, float* __restrict dv) {
  const float rest = 1.0f - omega;
  for (int64_t k = 0; k < count; ++k) {
    const float left = edge.left[k], right = edge.right[k], up = edge.up[k], down = edge.down[k];
    const float x = right_x[k] + ((left * u.left[k] + right * u.right[k]) + (up * u.up[k] + down * u.down[k]));
    const float y = right_y[k] + ((left * v.left[k] + right * v.right[k]) + (up * v.up[k] + down * v.down[k]));
    du[k] = rest * du[k] + omega * (inverse_xx[k] * x + inverse_xy[k] * y);
    dv[k] = rest * dv[k] + omega * (inverse_xy[k] * x + inverse_yy[k] * y);
  }
}

// The values around those of row y, part `parity`, of a plane.
Around around(const SplitPlanes& planes, int64_t plane, int64_t parity, int64_t y) {
  const float* beside = planes.row(plane, 1 - parity, y);
  return {beside + left_of(parity), beside + right_of(parity), planes.row(plane, parity, y - 1),
          planes.row(plane, parity, y + 1)};
}

// The same of values that belong to edges between pixels, where each pixel holds those at its right and below it.
Around edges_around(const SplitPlanes& planes, int64_t right, int64_t down, int64_t parity, int64_t y) {
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
    const Around square = edges_around(coefficients_, SQUARE_RIGHT, SQUARE_DOWN, parity, y);
    smoothness_weights(part, alpha, epsilon * epsilon, square.left, square.right, square.up, square.down,
                       coefficients_.row(SMOOTHNESS, parity, y));
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
