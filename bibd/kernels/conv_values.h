// The gradient of a convolution's kernels.

#pragma once

#include "conv.h"

// Gradient of the kernels: EACH connections of one output at a time share the loads of its
// gradient.
template <class C, int K, int IN, int EACH>
static void kernels(const vec<C>* g, i64 gpitch, i64 high, i64 wide, const vec<C>* const* x,
                    i64 pitch, vec<C>* sum) {
    vec<C> a[EACH][K][K];
    memcpy(a, sum, sizeof a);
    for (i64 i = 0; i < high; i++)
        for (i64 j = 0; j < wide; j++) {
            vec<C> u = g[i * gpitch + j];
#pragma GCC unroll 8
            for (int e = 0; e < EACH; e++) {
                const vec<C>* p = x[e] + i * IN * pitch + j * IN;
#pragma GCC unroll 3
                for (int k = 0; k < K; k++)
#pragma GCC unroll 3
                    for (int l = 0; l < K; l++) a[e][k][l] += u * p[k * pitch + l];
            }
        }
    memcpy(sum, a, sizeof a);
}

template <class T, int K, int IN, class C = typename computed<T>::type>
static void conv_sampled(const T* g, const T* x, T* to, const Rows& t, const Shape& s,
                         i64 threads) {
    constexpr i64 L = LANES<C>, EACH = K == 1 ? 8 : 1, SUMS = (EACH * K * K + L - 1) / L * L;
    Plan p = forward(s), q{s.out, s.oheight, s.owidth, 0, 0, 1, 1, 0, 0, {}};
    i64 hp = p.reach(s.oheight, false), wp = p.reach(s.owidth, true), channel = hp * wp;
    i64 pixels = s.oheight * s.owidth, nx = s.in * channel, ng = s.out * pixels;
    i64 tiles = (s.images + L - 1) / L, n = t.nonzeros * K * K;
    i64 held = std::clamp<i64>((1 << 23) / ((nx + ng) * WIDTH), 1, tiles);
    vec<C>* xs = (vec<C>*)scratch.need(held * (nx + ng) * WIDTH + n * sizeof(C));
    vec<C>* gs = xs + held * nx;
    C* total = (C*)(gs + held * ng);
    auto px = places(p, wp), pg = places(q, s.owidth);
    auto fill = [&](const T* from, const Plan& of, const i32* place, i64 h, i64 w, i64 g0, i64 now,
                    vec<C>* into) {
        i64 area = of.height * of.width, pitch = of.channels * area;
        share(threads, now * of.channels, [&](i64 i, i64 last) {
            for (; i < last; i++) {
                i64 first = (g0 + i / of.channels) * L, c = i % of.channels;
                spread_channel(from + first * pitch + c * area, std::min(L, s.images - first),
                               pitch, of, place, h, w, into + i * h * w);
            }
        });
    };
    // A strip of the pixels, so that what one output reads stays in a near cache.
    i64 strip = std::clamp<i64>(512 / s.owidth, 1, s.oheight);
    std::fill(total, total + n, C(0));
    for (i64 g0 = 0; g0 < tiles; g0 += held) {
        i64 now = std::min(held, tiles - g0);
        fill(x, p, px.data(), hp, wp, g0, now, xs);
        fill(g, q, pg.data(), s.oheight, s.owidth, g0, now, gs);
        share(threads, t.rows, [&](i64 first, i64 last) {
            for (i64 top = 0; top < s.oheight; top += strip)
                for (i64 r = first; r < last; r++)
                    for (i64 e = t.indptr[r], end = t.indptr[r + 1]; e < end; e += EACH) {
                        i64 each = std::min(EACH, end - e), high = std::min(strip, s.oheight - top);
                        alignas(WIDTH) vec<C> sum[SUMS] = {};
                        for (i64 tile = 0; tile < now; tile++) {
                            const vec<C>* from[EACH];
                            for (i64 i = 0; i < EACH; i++)
                                from[i] = xs + tile * nx +
                                          t.cols[e + std::min(i, each - 1)] * channel +
                                          top * IN * wp;
                            kernels<C, K, IN, EACH>(gs + tile * ng + r * pixels + top * s.owidth,
                                                    s.owidth, high, s.owidth, from, wp, sum);
                        }
                        for (i64 k = 0; k < each * K * K; k += L) {
                            vec<C> part = sums<C>(sum + k);
                            for (i64 i = 0; i < std::min(L, each * K * K - k); i++)
                                total[e * K * K + k + i] += part[i];
                        }
                    }
        });
    }
    for (i64 i = 0; i < n; i++) put(to + i, total[i]);
}

template <class T>
static void conv_values(const T* g, const T* x, const T*, T* to, const Rows& t, const Shape& s,
                        i64 threads) {
    auto run = s.window == 1 ? (s.stride == 1 ? conv_sampled<T, 1, 1> : conv_sampled<T, 1, 2>)
                             : (s.stride == 1 ? conv_sampled<T, 3, 1> : conv_sampled<T, 3, 2>);
    run(g, x, to, t, s, threads);
}
