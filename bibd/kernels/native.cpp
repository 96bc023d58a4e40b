// Products with sparse weights: linear layers and convolutions, both gradients, any thread count.
//
// Everything is a gather, nothing is scattered, so that no two threads ever write one value and
// every sum has one order: the same bits for any number of threads.
//
//   simd.h          memory, threads, vectors
//   linear.h        linear layers, one sample or many, one member or a stack of them
//   conv.h          convolutions of many images; conv_few.h of one or a few
//   conv_values.h   gradient of their kernels
//
// No header of torch's: plain C calls, loaded by native.py, which checks what comes in here.

#include "conv.h"
#include "conv_few.h"
#include "conv_values.h"
#include "linear.h"
#include "simd.h"

template <class T>
static void conv(const T* x, const T* values, const T* bias, T* y, const Rows& t, const Shape& s,
                 bool adjoint, i64 threads) {
    typedef typename computed<T>::type C;
    constexpr i64 L = LANES<C>;
    Plan p = adjoint ? backward(s) : forward(s);
    i64 window = s.window * s.window, few = s.images % L <= L / 2 ? s.images % L : 0;
    i64 many = s.images - few;
    // (Kept apart: the scratch may move.)
    const C* w =
        ordered(values, t, 1, window, threads, (C*)kept.need(t.nonzeros * window * sizeof(C)));
    if (many) convolve(x, w, bias, y, t, p, many, window, threads);
    x += many * p.channels * p.height * p.width, y += many * t.rows * p.rheight * p.rwidth;
    if (few) convolve_few(x, w, bias, y, t, p, few, window, threads);
}

#define CALL(f, a, b, c, d, ...)                                                              \
    try {                                                                                     \
        if (type == 0)                                                                        \
            f((const float*)a, (const float*)b, (const float*)c, (float*)d, __VA_ARGS__);     \
        else if (type == 1)                                                                   \
            f((const double*)a, (const double*)b, (const double*)c, (double*)d, __VA_ARGS__); \
        else f((const bf16*)a, (const bf16*)b, (const bf16*)c, (bf16*)d, __VA_ARGS__);        \
        return 0;                                                                             \
    } catch (const std::bad_alloc&) { return 1; }

extern "C" {
const char* iddl_key() { return IDDL_KEY; }
int iddl_width() { return WIDTH; }
int iddl_linear(int type, const void* x, const void* w, const void* b, void* y, const Rows* t,
                i64 members, i64 batch, i64 threads) {
    CALL(linear, x, w, b, y, *t, members, batch, threads)
}
int iddl_sampled(int type, const void* g, const void* x, void* to, const Rows* t, i64 members,
                 i64 batch, i64 threads) {
    CALL(sampled, g, x, x, to, *t, members, batch, threads)
}
int iddl_conv(int type, const void* x, const void* w, const void* b, void* y, const Rows* t,
              const Shape* s, i64 adjoint, i64 threads) {
    CALL(conv, x, w, b, y, *t, *s, adjoint, threads)
}
int iddl_conv_sampled(int type, const void* g, const void* x, void* to, const Rows* t,
                      const Shape* s, i64 threads) {
    CALL(conv_values, g, x, x, to, *t, *s, threads)
}
}
