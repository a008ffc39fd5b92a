// The inner loops of the CPU kernel, in plain C++ that the compiler vectorises. lstm_cpu.cpp includes this file once
// per instruction set, which is why there is no include guard, and says by macros how to compile it: INSTRUCTION_SET
// names the namespace, VECTOR_BYTES is the width of a vector, ROWS how many rows of 4 vectors each the registers hold.

namespace lrcn::lstm::INSTRUCTION_SET {

// The weights of a product lie in panels of 4 vectors of outputs, input by input, padded with zeros.
template <class A>
constexpr int64_t PANEL = 4 * VECTOR_BYTES / sizeof(A);

constexpr int64_t ROWS_AT_ONCE = ROWS;

// Rows per part, so that there is work for many threads, and each row of weights is used often while it is near.
constexpr int64_t PART = 16 * ROWS;

// Inputs at a time, so that this piece of a panel stays in the second-level cache for all rows of the part.
constexpr int64_t INPUTS = 512;

// How many inputs ahead their weights are asked for.
constexpr int AHEAD = 8;

// Adds to y (rows, 4 vectors) the rows of x (rows, inputs) times a panel (inputs, 4 vectors).
template <class A, int rows>
inline void add_product(int64_t inputs, const A* x, int64_t x_stride, const A* panel, A* y, int64_t y_stride) {
  typedef A Vector __attribute__((vector_size(VECTOR_BYTES), aligned(alignof(A)), may_alias));
  Vector sum[rows][4];
  for (int row = 0; row < rows; ++row) memcpy(sum[row], y + row * y_stride, sizeof sum[row]);
  for (int64_t k = 0; k < inputs; ++k, panel += PANEL<A>) {
    const Vector* w = reinterpret_cast<const Vector*>(panel);
    for (int v = 0; v < 4; ++v) __builtin_prefetch(w + 4 * AHEAD + v);
    const Vector w_0 = w[0], w_1 = w[1], w_2 = w[2], w_3 = w[3];
    for (int row = 0; row < rows; ++row) {
      const A value = x[row * x_stride + k];
      sum[row][0] += value * w_0;
      sum[row][1] += value * w_1;
      sum[row][2] += value * w_2;
      sum[row][3] += value * w_3;
    }
  }
  for (int row = 0; row < rows; ++row) memcpy(y + row * y_stride, sum[row], sizeof sum[row]);
}

// The same for any number of rows up to ROWS: every sum is made in the same order.
template <class A, int rows = ROWS>
inline void add_product(int64_t count, int64_t inputs, const A* x, int64_t x_stride, const A* panel, A* y,
                        int64_t y_stride) {
  if (count == rows) {
    add_product<A, rows>(inputs, x, x_stride, panel, y, y_stride);
  } else if constexpr (rows > 1) {
    add_product<A, rows - 1>(count, inputs, x, x_stride, panel, y, y_stride);
  }
}

// The parts begin..end of y (rows, y_stride) = x (rows, inputs) times panels (y_stride / PANEL, inputs, PANEL). A part
// is some rows of one panel.
template <class A>
void product(int64_t rows, int64_t rows_per_part, int64_t inputs, const A* x, const A* panels, A* y, int64_t y_stride,
             int64_t begin, int64_t end) {
  const int64_t parts_per_panel = (rows + rows_per_part - 1) / rows_per_part;
  for (int64_t part = begin; part < end; ++part) {
    const int64_t first = part % parts_per_panel * rows_per_part, last = std::min(rows, first + rows_per_part);
    const A* panel = panels + part / parts_per_panel * inputs * PANEL<A>;
    A* columns = y + part / parts_per_panel * PANEL<A>;
    for (int64_t row = first; row < last; ++row) std::fill_n(columns + row * y_stride, PANEL<A>, A(0));
    for (int64_t k = 0; k < inputs; k += INPUTS) {
      for (int64_t row = first; row < last; row += ROWS) {
        add_product<A>(std::min<int64_t>(ROWS, last - row), std::min(INPUTS, inputs - k), x + row * inputs + k, inputs,
                       panel + k * PANEL<A>, columns + row * y_stride, y_stride);
      }
    }
  }
}

// The cells of step t of the streams begin..end. hidden (N, hidden_stride) is W_hc (cont_t h_{t-1}); `next` (N, H)
// receives cont_{t+1} h_t unless this is the last step.
template <class A>
void forward_cells(const Forward<A, A>& s, int64_t t, const A* hidden, int64_t hidden_stride, A* next, int64_t begin,
                   int64_t end) {
  const int64_t N = s.streams, H = s.hidden;
  for (int64_t n = begin; n < end; ++n) {
    const int64_t row = t * N + n;
    A* a = s.terms + row * 4 * H;
    const A* from_hidden = hidden + n * hidden_stride;
    const A* c_previous = t == 0 ? s.c_0 + n * H : s.c + (row - N) * H;
    const A cont = s.cont[row];
    A *c = s.c + row * H, *h = s.h + row * H;
#pragma GCC ivdep
    for (int64_t d = 0; d < H; ++d) {
      const auto gate =
          gates_of<Fast>(a[d] + from_hidden[d], a[H + d] + from_hidden[H + d], a[2 * H + d] + from_hidden[2 * H + d],
                         a[3 * H + d] + from_hidden[3 * H + d], cont);
      const auto state = cell<Fast>(gate, c_previous[d]);
      if (s.keep_gates) {
        a[d] = gate.i;
        a[H + d] = gate.f;
        a[2 * H + d] = gate.o;
        a[3 * H + d] = gate.g;
      }
      c[d] = state.c;
      h[d] = state.h;
    }
    if (t + 1 < s.steps) {
      const A cont_next = s.cont[row + N];
      for (int64_t d = 0; d < H; ++d) next[n * H + d] = cont_next * h[d];
    }
  }
}

// The way back through the cells of step t of the streams begin..end. dh_next (N, dh_stride) is the gradient of
// cont_{t+1} h_t from the step behind; dc (N, H) that of c_t, and becomes that of c_{t-1}. `zeros` (H) stands for what
// is null: a choice inside the loop would be made for every single cell.
template <class A>
void backward_cells(const Backward<A, A>& s, int64_t t, const A* dh_next, int64_t dh_stride, const A* zeros, A* dc,
                    int64_t begin, int64_t end) {
  const int64_t N = s.streams, H = s.hidden;
  const bool last = t == s.steps - 1;
  for (int64_t n = begin; n < end; ++n) {
    const int64_t row = t * N + n;
    const A *gates = s.gates + row * 4 * H, *c = s.c + row * H;
    const A* c_previous = t == 0 ? s.c_0 + n * H : s.c + (row - N) * H;
    const A* dh = s.dh ? s.dh + row * H : zeros;
    const A* dh_later = last ? (s.dh_T ? s.dh_T + n * H : zeros) : dh_next + n * dh_stride;
    const A cont_next = last ? A(1) : s.cont[row + N], slope_cont = s.caffe_gradient ? A(1) : s.cont[row];
    A *d_terms = s.d_terms + row * 4 * H, *dc_n = dc + n * H;
#pragma GCC ivdep
    for (int64_t d = 0; d < H; ++d) {
      const A dh_all = cont_next * dh_later[d] + dh[d];
      const Gates<A> gate{gates[d], gates[H + d], gates[2 * H + d], gates[3 * H + d]};
      const auto gradient = cell_backward<Fast>(gate, slope_cont, c_previous[d], c[d], dc_n[d], dh_all);
      d_terms[d] = gradient.a_i;
      d_terms[H + d] = gradient.a_f;
      d_terms[2 * H + d] = gradient.a_o;
      d_terms[3 * H + d] = gradient.a_g;
      dc_n[d] = gradient.c_previous;
    }
  }
}

}  // namespace lrcn::lstm::INSTRUCTION_SET
