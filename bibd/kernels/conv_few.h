// Convolutions of a few images: vectors hold pixels of one.

#pragma once

#include "conv.h"

// V vectors of neighbouring pixels of one image; EACH connections at a time, in sums of their own.
template <class C, int V, int EACH>
static void run_of(const C* x, i64 channel, const std::vector<Step>& steps, const C* w, i64 window,
                   const i32* cols, i64 first, i64 last, C bias, C* to) {
    vec<C> a[EACH][V] = {};
    for (int v = 0; v < V; v++) a[0][v] = spread(bias);
    i64 e = first;
    const Step *begin = steps.data(), *end = begin + steps.size();
    auto go = [&](auto each) __attribute__((always_inline)) {
        const C *from[each()], *values = w + e * window;
        for (int i = 0; i < each(); i++) from[i] = x + cols[e + i] * channel;
        for (const Step* s = begin; s != end; s++)
#pragma GCC unroll 4
            for (int i = 0; i < each(); i++) {
                const C* p = from[i] + s->at;
                vec<C> u = spread(values[i * window + s->weight]);
#pragma GCC unroll 8
                for (int v = 0; v < V; v++) a[i][v] += u * load(p + v * LANES<C>);
            }
    };
    for (; e + EACH <= last; e += EACH) go(std::integral_constant<int, EACH>());
    for (; e < last; e++) go(std::integral_constant<int, 1>());
    for (int v = 0; v < V; v++) {
        for (int i = 1; i < EACH; i++) a[0][v] += a[i][v];
        store(to + v * LANES<C>, a[0][v]);
    }
}

// A few images: vectors hold pixels. Each column of the window has a copy of the source, moved by
// it, in the rows of the result; then the pixels that one tap reads for all the result are a run.
template <class T, class C = typename computed<T>::type>
static void convolve_few(const T* x, const C* w, const T* bias, T* y, const Rows& t, const Plan& p,
                         i64 images, i64 window, i64 threads) {
    constexpr i64 L = LANES<C>, MOST = 8;
    i64 n = p.in, high = p.rows(), wide = p.columns(), run = high * wide;
    i64 hp = (p.reach(high, false) + n - 1) / n, plane = hp * wide;
    std::vector<i64> copies;
    for (auto& phase : p.phases)
        for (auto& tap : phase.taps)
            if (std::find(copies.begin(), copies.end(), tap.x) == copies.end())
                copies.push_back(tap.x);
    i64 channel = (i64)copies.size() * n * plane, size = p.channels * channel + MOST * L;
    i64 line = (run + MOST * L) / L * L;
    std::vector<std::vector<Step>> steps;
    for (auto& phase : p.phases) {
        steps.push_back({});
        for (auto& tap : phase.taps) {
            i64 copy = std::find(copies.begin(), copies.end(), tap.x) - copies.begin();
            steps.back().push_back({(copy * n + tap.y % n) * plane + tap.y / n * wide, tap.weight});
        }
    }
    C* space = (C*)scratch.need((size + threads * line) * sizeof(C));
    i64 work = t.nonzeros * window * run / 65536 + 1;
    auto fill = [&](const T* from, C* to) {
        for (i64 shift : copies) {
            i64 low = p.left - shift;  // b stands for pixel b * n - low of a row
            i64 first = low > 0 ? std::min((low + n - 1) / n, wide) : 0;
            i64 last =
                p.width + low > 0 ? std::clamp((p.width - 1 + low) / n + 1, first, wide) : first;
            if (n == 1 && wide == p.width) {  // the rows are one run, but for its ends
                i64 v = std::max<i64>(-p.top, 0), end = std::max(v, std::min(p.height, hp - p.top));
                i64 size = (end - v) * wide, a = std::clamp<i64>(low, 0, size),
                    b = std::clamp(size + low, a, size);
                C* row = to + (v + p.top) * wide;
                std::fill(to, row + a, C(0));
                for (i64 i = a; i < b; i++) row[i] = get(from + v * wide + i - low);
                std::fill(row + b, to + plane, C(0));
                for (i64 i = 0; i < end - v; i++, row += wide) {
                    for (i64 b = 0; b < first; b++) row[b] = 0;
                    for (i64 b = last; b < wide; b++) row[b] = 0;
                }
                to += plane;
                continue;
            }
            for (i64 u = 0; u < n; u++)
                for (i64 a = 0; a < hp; a++, to += wide) {
                    i64 v = a * n + u - p.top, none = v < 0 || v >= p.height;
                    const T* row = from + v * p.width - low;
                    for (i64 b = 0; b < (none ? wide : first); b++) to[b] = 0;
                    if (none) continue;
                    if (n == 1)
                        for (i64 b = first; b < last; b++) to[b] = get(row + b);
                    else
                        for (i64 b = first; b < last; b++) to[b] = get(row + b * 2);
                    for (i64 b = last; b < wide; b++) to[b] = 0;
                }
        }
    };
    auto compute = [&](i64 r, T* to, C* buffer) {
        C b = bias ? get(bias + r) : C(0);
        for (size_t f = 0; f < p.phases.size(); f++) {
            for (i64 at = 0; at < run; at += MOST * L) {
                i64 v = std::min(MOST, (run - at + L - 1) / L);
                auto go = v == 1   ? run_of<C, 1, 4>
                          : v == 2 ? run_of<C, 2, 3>
                          : v == 3 ? run_of<C, 3, 2>
                          : v == 4 ? run_of<C, 4, 2>
                          : v == 5 ? run_of<C, 5, 1>
                          : v == 6 ? run_of<C, 6, 1>
                          : v == 7 ? run_of<C, 7, 1>
                                   : run_of<C, 8, 1>;
                go(space + at, channel, steps[f], w, window, t.cols, t.indptr[r], t.indptr[r + 1],
                   b, buffer + at);
            }
            if (p.out == 1)
                for (i64 i = 0; i < run; i += L) store(to + i, load(buffer + i), run - i);
            else
                for (i64 i = 0, u = p.phases[f].y; u < p.rheight; i++, u += p.out)
                    for (i64 j = 0, v = p.phases[f].x; v < p.rwidth; j++, v += p.out)
                        put(to + u * p.rwidth + v, buffer[i * wide + j]);
        }
    };
    std::fill(space + p.channels * channel, space + size, C(0));  // read beyond the last run
    for (i64 image = 0; image < images; image++) {
        share(std::min(threads, work), p.channels, [&](i64 c, i64 last) {
            for (; c < last; c++)
                fill(x + (image * p.channels + c) * p.height * p.width, space + c * channel);
        });
        parallel(std::min({threads, work, t.rows}), [&](i64 part, i64 parts) {
            for (i64 r = t.rows * part / parts; r < t.rows * (part + 1) / parts; r++)
                compute(r, y + (image * t.rows + r) * p.rheight * p.rwidth,
                        space + size + part * line);
        });
    }
}
