// Every instruction set of the CPU kernel that this processor has, against plain loops. Prints the name of each set
// that was checked; ends with status 1 and a message where one differs.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "lstm/lstm_cpu.cpp"

namespace lrcn {

void parallel_for(int64_t count, int64_t, const std::function<void(int64_t begin, int64_t end)>& body) {
  for (int64_t i = count - 1; i >= 0; --i) body(i, i + 1);  // in parts of one, from the back
}

namespace lstm {

template <class A>
std::vector<A> numbers(int64_t count, unsigned seed) {
  std::vector<A> values(count);
  for (A& value : values) {
    seed = seed * 1664525u + 1013904223u;
    value = A(seed >> 8) / A(1 << 23) - 1;
  }
  return values;
}

template <class A>
void expect(const char* what, int64_t at, A found, A expected, A scale) {
  const A tolerance = scale * (sizeof(A) == 4 ? A(1e-6) : A(1e-14));  // a few roundings of numbers of this size
  if (std::abs(found - expected) <= tolerance) return;
  std::printf("%s at %ld: %.9g expected, %.9g found\n", what, long(at), double(expected), double(found));
  std::exit(1);
}

template <class A>
void check_product(const Kernel<A>& kernel, int64_t rows, int64_t inputs, int64_t outputs) {
  const Product<A> product{kernel, rows, inputs, outputs};
  const auto x = numbers<A>(rows * inputs, 1), w = numbers<A>(outputs * inputs, 2);
  std::vector<A> panels(product.size()), y(rows * product.stride(), A(7));
  product.pack(w.data(), 1, inputs, panels.data());
  product.run(x.data(), panels.data(), y.data());
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t j = 0; j < outputs; ++j) {
      A sum = 0;
      for (int64_t k = 0; k < inputs; ++k) sum += x[row * inputs + k] * w[j * inputs + k];
      expect("product", row * outputs + j, y[row * product.stride() + j], sum, std::sqrt(A(inputs)) + 1);
    }
  }
}

template <class A>
void check_cells(const Kernel<A>& kernel, int64_t N, int64_t H) {
  const int64_t T = 3, stride = 4 * H + 5;
  const auto given_terms = numbers<A>(T * N * 4 * H, 3), cont = numbers<A>(T * N, 4), c_0 = numbers<A>(N * H, 5);
  const auto hidden = numbers<A>(N * stride, 6), dh = numbers<A>(T * N * H, 7);
  auto terms = given_terms;
  std::vector<A> h(T * N * H), c(h), next(N * H), d_terms(terms), dc(c_0), zeros(H);
  const Forward<A, A> forward{T, N, H, terms.data(), cont.data(), nullptr, c_0.data(), h.data(), c.data(), true};
  const Backward<A, A> backward{
      T,         N,       H,       cont.data(), nullptr,        c_0.data(), c.data(), terms.data(),
      dh.data(), nullptr, nullptr, false,       d_terms.data(), dc.data()};
  for (int64_t t = 0; t < T; ++t) {
    kernel.forward_cells(forward, t, hidden.data(), stride, next.data(), 0, N);
    const auto dc_before = dc;
    kernel.backward_cells(backward, t, hidden.data(), stride, zeros.data(), dc.data(), 0, N);
    for (int64_t n = 0; n < N; ++n) {
      for (int64_t d = 0; d < H; ++d) {
        const int64_t row = t * N + n, unit = row * H + d;
        A a[4];
        for (int g = 0; g < 4; ++g) a[g] = given_terms[row * 4 * H + g * H + d] + hidden[n * stride + g * H + d];
        const A before = t == 0 ? c_0[n * H + d] : c[unit - N * H];
        const auto gate = gates_of<Fast>(a[0], a[1], a[2], a[3], cont[row]);
        const auto state = cell<Fast>(gate, before);
        expect("h", unit, h[unit], state.h, A(1));
        expect("c", unit, c[unit], state.c, A(2));
        if (t + 1 < T) expect("cont h", unit, next[n * H + d], state.h * cont[row + N], A(1));
        const A later = t + 1 < T ? hidden[n * stride + d] * cont[row + N] : A(0);
        const auto gradient =
            cell_backward<Fast>(gate, cont[row], before, state.c, dc_before[n * H + d], dh[unit] + later);
        const A expected[4] = {gradient.a_i, gradient.a_f, gradient.a_o, gradient.a_g};
        for (int g = 0; g < 4; ++g) {
          expect("gate", g, terms[row * 4 * H + g * H + d],
                 g == 0   ? gate.i
                 : g == 1 ? gate.f
                 : g == 2 ? gate.o
                          : gate.g,
                 A(1));
          expect("gradient", g, d_terms[row * 4 * H + g * H + d], expected[g], A(4));
        }
        expect("dc", unit, dc[n * H + d], gradient.c_previous, A(4));
      }
    }
  }
}

template <class A>
void check(const char* name, const Kernel<A>& kernel) {
  for (int64_t rows : {1, 2, 5, 7, 100}) check_product(kernel, rows, 33, 70);
  check_product<A>(kernel, 4, 1100, 130);
  check_product<A>(kernel, 3, 1, 1);
  for (int64_t H : {1, 15, 64, 77}) check_cells(kernel, 3, H);
  std::printf("%s %d\n", name, int(8 * sizeof(A)));
}

template <class A>
void check_all() {
  check<A>("baseline", KERNEL(baseline));
#ifdef __x86_64__
  if (has_avx2()) check<A>("avx2", KERNEL(avx2));
  if (has_avx512()) check<A>("avx512", KERNEL(avx512));
#endif
}

}  // namespace lstm
}  // namespace lrcn

int main() {
  lrcn::lstm::check_all<float>();
  lrcn::lstm::check_all<double>();
}
