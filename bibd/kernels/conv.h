// Convolutions over batches: vectors hold images, and the tile in hand is HIGH x WIDE pixels.
//
//   (image, channel, y, x)  --transpose-->  (channel, y, x, L images), with its padding of zeros

#pragma once

#include "linear.h"

struct Shape {  // of a convolution with a square window (1 or 3) and stride (1 or 2)
    i64 images, in, height, width, out, oheight, owidth, window, stride, top, left;
};

struct Tap {
    i64 y, x, weight;
};  // a pixel of the source, relative to stride * the pixel in hand
struct Phase {
    i64 y, x;
    std::vector<Tap> taps;
};  // makes the pixels (y, x) modulo `out`

// The same for a convolution and for its input gradient:
//
//   result[out * a + y][out * b + x] = sum over taps of w * padded[in * a + tap.y][in * b + tap.x]
struct Plan {
    i64 channels, height, width, top, left;  // the source, and where it stands in its padding
    i64 in, out, rheight, rwidth;            // steps; the result
    std::vector<Phase> phases;
    i64 rows() const { return (rheight + out - 1) / out; }  // of a phase, at most
    i64 columns() const { return (rwidth + out - 1) / out; }
    i64 reach(i64 steps, bool x) const {  // padded size when so many pixels of a phase are made
        i64 far = x ? left + width : top + height;
        for (auto& phase : phases)
            for (auto& tap : phase.taps)
                far = std::max(far, in * (steps - 1) + (x ? tap.x : tap.y) + 1);
        return far;
    }
};

static Plan forward(const Shape& s) {
    Phase all{0, 0, {}};
    for (i64 k = 0; k < s.window * s.window; k++)
        all.taps.push_back({k / s.window, k % s.window, k});
    return {s.in, s.height, s.width, s.top, s.left, s.stride, 1, s.oheight, s.owidth, {all}};
}

// Input pixel p takes output pixel (p + top - k) / stride for each k of the window that divides.
static Plan backward(const Shape& s) {
    i64 n = s.stride, up = 0, back = 0;  // the padding that keeps all taps inside
    std::vector<Phase> phases;
    for (i64 y = 0; y < n; y++)
        for (i64 x = 0; x < n; x++) {
            Phase phase{y, x, {}};
            for (i64 k = 0; k < s.window * s.window; k++) {
                i64 u = y + s.top - k / s.window, v = x + s.left - k % s.window;
                if (u % n || v % n) continue;
                phase.taps.push_back({u / n, v / n, k});
                up = std::max(up, -u / n), back = std::max(back, -v / n);
            }
            phases.push_back(phase);
        }
    for (auto& phase : phases)
        for (auto& tap : phase.taps) tap.y += up, tap.x += back;
    return {s.out, s.oheight, s.owidth, up, back, 1, n, s.height, s.width, phases};
}

// One channel of LANES images (those beyond the last are 0) into its padding, pixel by pixel.
template <class T, class C = typename computed<T>::type>
static void spread_channel(const T* x, i64 images, i64 pitch, const Plan& p, const i32* place,
                           i64 hp, i64 wp, vec<C>* to) {
    constexpr i64 L = LANES<C>;
    i64 pixels = p.height * p.width;
    auto zero = [&](i64 from, i64 end) { std::fill(to + from, to + end, vec<C>{}); };
    zero(0, p.top * wp + p.left);
    for (i64 y = p.top; y + 1 < p.top + p.height; y++)
        zero(y * wp + p.left + p.width, (y + 1) * wp + p.left);
    zero((p.top + p.height - 1) * wp + p.left + p.width, hp * wp);
    for (i64 at = 0; at < pixels; at += L) {
        vec<C> r[L];
        for (i64 i = 0; i < images; i++) __builtin_prefetch(x + i * pitch + at + 4 * L);
#pragma GCC unroll 16
        for (i64 i = 0; i < L; i++)
            r[i] = i < images ? load(x + i * pitch + at, pixels - at) : vec<C>{};
        transpose<C>(r);
        for (i64 i = 0; i < std::min(L, pixels - at); i++) to[place[at + i]] = r[i];
    }
}

static std::vector<i32> places(const Plan& p, i64 wp) {
    std::vector<i32> place(p.height * p.width);
    for (i64 i = 0; i < (i64)place.size(); i++)
        place[i] = (i32)((i / p.width + p.top) * wp + i % p.width + p.left);
    return place;
}

struct Step {
    i64 at, weight;
};  // a tap where the pitch is known: bytes from the pixel in hand
// HIGH x WIDE pixels of one output channel, LANES images each: as many sums as there are registers.
// (A tile of 2 x 8, whose strips are lower and fit a nearer cache, is slower: 3 of 4 sizes.)
constexpr int HIGH = WIDTH == 64 ? 4 : 2, WIDE = 4;
template <class C, int IN>
static void tile(const vec<C>* x, i64 pitch, i64 channel, const C* w, i64 window, const i32* cols,
                 i64 first, i64 last, const std::vector<Step>& steps, C bias, vec<C>* to, i64 step,
                 i64 row, const vec<C>* then) {
    vec<C> a[HIGH][WIDE];
    for (int i = 0; i < HIGH; i++)
        for (int j = 0; j < WIDE; j++) a[i][j] = spread(bias);
    i64 down = IN * pitch * WIDTH;
    const Step *begin = steps.data(), *end = begin + steps.size();
    for (i64 e = first; e < last; e++) {
        const char* from = (const char*)(x + cols[e] * channel);
        const C* values = w + e * window;
        for (const Step* s = begin; s != end; s++) {
            const char* p = from + s->at;
            vec<C> u = spread(values[s->weight]);
#pragma GCC unroll 8
            for (int i = 0; i < HIGH; i++, p += down) {
#pragma GCC unroll 8
                for (int j = 0; j < WIDE; j++) a[i][j] += u * *(const vec<C>*)(p + j * IN * WIDTH);
            }
        }
    }
    for (int i = 0; i < HIGH; i++)
        for (int j = 0; j < WIDE; j++) to[i * row + j * step] = a[i][j];
}

// The same for the nine taps of a 3 x 3 window: each pixel is loaded once for all taps.
template <class C, int IN>
static void tile3(const vec<C>* x, i64 pitch, i64 channel, const C* w, i64 window, const i32* cols,
                  i64 first, i64 last, const std::vector<Step>& steps, C bias, vec<C>* to, i64 step,
                  i64 row, const vec<C>* then) {
    constexpr int ROWS = (HIGH - 1) * IN + 3, ACROSS = (WIDE - 1) * IN + 3;
    vec<C> a[HIGH][WIDE];
    for (int i = 0; i < HIGH; i++)
        for (int j = 0; j < WIDE; j++) a[i][j] = spread(bias);
    bool flip = steps[0].at > steps[8].at;
    x = (const vec<C>*)((const char*)x + std::min(steps[0].at, steps[8].at));
    for (i64 e = first; e < last; e++) {
        const vec<C>* from = x + cols[e] * channel;
        const C* values = w + e * 9;
        const vec<C>* next = e + 1 < last ? x + cols[e + 1] * channel : then;
        vec<C> u[9];
        if (flip)
            for (int k = 0; k < 9; k++) u[k] = spread(values[8 - k]);
        else
            for (int k = 0; k < 9; k++) u[k] = spread(values[k]);
#pragma GCC unroll 17
        for (int i = 0; i < ROWS; i++) {
            vec<C> p[ACROSS];
#pragma GCC unroll 17
            for (int j = 0; j < ACROSS; j++) p[j] = from[i * pitch + j];
#pragma GCC unroll 17
            for (int j = 0; j < ACROSS; j++) __builtin_prefetch(next + i * pitch + j);
#pragma GCC unroll 3
            for (int k = 0; k < 3; k++)
                if (i >= k && (i - k) % IN == 0 && (i - k) / IN < HIGH)
#pragma GCC unroll 3
                    for (int l = 0; l < 3; l++)
#pragma GCC unroll 8
                        for (int j = 0; j < WIDE; j++)
                            a[(i - k) / IN][j] += u[k * 3 + l] * p[j * IN + l];
        }
    }
    for (int i = 0; i < HIGH; i++)
        for (int j = 0; j < WIDE; j++) to[i * row + j * step] = a[i][j];
}

// Rows of pixels of LANES images back to one image after the other.
template <class T, class C = typename computed<T>::type>
static void collect(const vec<C>* from, i64 pixels, i64 images, i64 pitch, T* y) {
    constexpr i64 L = LANES<C>;
    for (i64 at = 0; at < pixels; at += L) {
        vec<C> r[L];
        i64 n = std::min(L, pixels - at);
#pragma GCC unroll 16
        for (i64 i = 0; i < L; i++) r[i] = i < n ? from[at + i] : vec<C>{};
        transpose<C>(r);
        for (i64 i = 0; i < images; i++) store(y + i * pitch + at, r[i], n);
    }
}

template <class T, class C = typename computed<T>::type>
static void convolve(const T* x, const C* w, const T* bias, T* y, const Rows& t, const Plan& p,
                     i64 images, i64 window, i64 threads) {
    constexpr i64 L = LANES<C>;
    i64 strips = (p.rows() + HIGH - 1) / HIGH, across = (p.columns() + WIDE - 1) / WIDE;
    i64 hp = p.reach(strips * HIGH, false), wp = p.reach(across * WIDE, true), channel = hp * wp;
    i64 tiles = (images + L - 1) / L, size = p.channels * channel, row = across * WIDE * p.out;
    i64 held = std::clamp<i64>((1 << 23) / (size * WIDTH), std::min(threads, tiles), tiles);
    i64 strip = HIGH * p.out * row;
    vec<C>* space = (vec<C>*)scratch.need((held * size + threads * strip) * WIDTH);
    auto place = places(p, wp);
    std::vector<std::vector<Step>> steps;
    for (auto& phase : p.phases) {
        steps.push_back({});
        for (auto& tap : phase.taps)
            steps.back().push_back({(tap.y * wp + tap.x) * WIDTH, tap.weight});
    }
    i64 spitch = p.channels * p.height * p.width, rpitch = t.rows * p.rheight * p.rwidth;
    for (i64 g0 = 0; g0 < tiles; g0 += held) {
        i64 held_now = std::min(held, tiles - g0);
        share(threads, held_now * p.channels, [&](i64 i, i64 last) {
            for (; i < last; i++) {
                i64 n = (g0 + i / p.channels) * L, c = i % p.channels;
                spread_channel(x + n * spitch + c * p.height * p.width, std::min(L, images - n),
                               spitch, p, place.data(), hp, wp, space + i * channel);
            }
        });
        parallel(std::min(threads, held_now * strips * t.rows), [&](i64 part, i64 parts) {
            vec<C>* buffer = space + held * size + part * strip;
            i64 items = held_now * strips * t.rows;
            for (i64 i = items * part / parts; i < items * (part + 1) / parts; i++) {
                i64 r = i % t.rows, s = i / t.rows % strips, g = i / t.rows / strips,
                    n = (g0 + g) * L;
                C b = bias ? get(bias + r) : C(0);
                const vec<C>* base = space + g * size + s * HIGH * p.in * wp;
                i32 first = t.indptr[r], last = t.indptr[r + 1];
                for (size_t f = 0; f < p.phases.size(); f++) {
                    bool all = steps[f].size() == 9;
                    auto run = p.in == 2 ? (all ? tile3<C, 2> : tile<C, 2>)
                                         : (all ? tile3<C, 1> : tile<C, 1>);
                    vec<C>* to = buffer + p.phases[f].y * row + p.phases[f].x;
                    for (i64 k = 0; k < across; k++) {
                        const vec<C>* from = base + k * WIDE * p.in;
                        const vec<C>* then = k + 1 < across ? from + WIDE * p.in : base;
                        i64 e = k + 1 < across || last == t.nonzeros ? first : last;
                        if (first < last) then += t.cols[e] * channel;
                        run(from, wp, channel, w, window, t.cols, first, last, steps[f], b,
                            to + k * WIDE * p.out, p.out, row * p.out, then);
                    }
                }
                i64 top = s * HIGH * p.out, high = std::min(HIGH * p.out, p.rheight - top);
                T* into = y + n * rpitch + (r * p.rheight + top) * p.rwidth;
                i64 some = std::min(L, images - n);
                if (row == p.rwidth) collect(buffer, high * row, some, rpitch, into);
                else
                    for (i64 h = 0; h < high; h++)
                        collect(buffer + h * row, p.rwidth, some, rpitch, into + h * p.rwidth);
            }
        });
    }
}
