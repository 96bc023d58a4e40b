// Linear layers: the product, also with the transposed table, and the gradient of the values.
//
//   row-major (batch, in)  --transpose L x L in registers-->  tiles (in, L lanes of the batch)
//
//        output r:   acc[lanes] += w[e] * tile[cols[e]][lanes]      for e in row r of the table

#pragma once

#include "simd.h"

struct Rows {  // by output: which inputs, and (of a transposed table) where its values stand
    const i32 *indptr, *cols, *order;
    const i32* base;  // see `sliced`; null where the table is not of that kind
    const uint8_t* lane;
    i64 rows, inputs, nonzeros, tables, steps, window;
    Rows of(i64 member) const {
        Rows r = *this;
        i64 m = member % tables;
        r.indptr += m * (rows + 1), r.cols += m * nonzeros;
        if (order) r.order += m * nonzeros;
        if (base) {
            i64 size = m * ((rows + 15) / 16) * steps;
            r.base += size, r.lane += size * 16;
        }
        return r;
    }
};

// Columns first..last of (batch, inputs) to (inputs, NV vectors).
template <class T, int NV, class C = typename computed<T>::type>
static void gather(const T* x, i64 batch, i64 inputs, i64 first, i64 last, vec<C>* to) {
    constexpr i64 L = LANES<C>;
    for (i64 c = first; c < last; c += L)
        for (i64 v = 0; v < NV; v++) {
            vec<C> r[L];
#pragma GCC unroll 16
            for (i64 i = 0; i < L; i++)
                r[i] = v * L + i < batch ? load(x + (v * L + i) * inputs + c, last - c) : vec<C>{};
            transpose<C>(r);
            for (i64 i = 0; i < std::min(L, last - c); i++) to[(c + i) * NV + v] = r[i];
        }
}

// NV vectors of one output, with two sums each: a sum is a chain of multiply-adds that wait.
template <class C, int NV>
INLINE void output(const vec<C>* x, const C* w, const i32* cols, i64 e, i64 end, vec<C>* to) {
    vec<C> a[NV], b[NV] = {};
    for (int v = 0; v < NV; v++) a[v] = to[v];
    for (; e + 1 < end; e += 2) {
        const vec<C>*p = x + (i64)cols[e] * NV, *q = x + (i64)cols[e + 1] * NV;
        vec<C> u = spread(w[e]), z = spread(w[e + 1]);
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) a[v] += u * p[v], b[v] += z * q[v];
    }
    if (e < end)
        for (int v = 0; v < NV; v++) a[v] += spread(w[e]) * x[(i64)cols[e] * NV + v];
    for (int v = 0; v < NV; v++) to[v] = a[v] + b[v];
}

template <class T, int NV, class C = typename computed<T>::type>
static void outputs(const vec<C>* x, const C* w, const T* bias, const Rows& t, i64 batch, i64 first,
                    i64 last, T* y) {
    constexpr i64 L = LANES<C>,
                  RUN = 4 * L;  // (long runs of y: rows may share the sets of a cache)
    alignas(WIDTH) vec<C> block[NV][RUN];
    for (i64 r = first; r < last; r += RUN) {
        i64 n = std::min(RUN, last - r);
        for (i64 i = 0; i < n; i++) {
            vec<C> to[NV];
            for (int v = 0; v < NV; v++) to[v] = bias ? spread(get(bias + r + i)) : vec<C>{};
            output<C, NV>(x, w, t.cols, t.indptr[r + i], t.indptr[r + i + 1], to);
            for (int v = 0; v < NV; v++) block[v][i] = to[v];
        }
        for (i64 v = 0; v < NV; v++) {
            for (i64 i = 0; i < n; i += L) transpose<C>(block[v] + i);
            for (i64 b = 0; b < std::min(L, batch - v * L); b++)
                for (i64 i = 0; i < n; i += L)
                    store(y + (v * L + b) * t.rows + r + i, block[v][i + b], n - i);
        }
    }
}

// One sample: a vector cannot hold lanes of the batch, so it holds connections of one output.
template <class T>
INLINE vec<typename computed<T>::type> pick(const T* x, const i32* at, i64 n) {
    typename computed<T>::type some[LANES<typename computed<T>::type>] = {};
    for (i64 i = 0; i < n; i++) some[i] = get(x + at[i]);
    return load(some);
}
#if defined(__AVX512F__)
INLINE vec<float> pick(const float* x, const i32* at, i64 n) {
    __mmask16 some = n >= 16 ? 0xffff : (1 << n) - 1;
    __m512i i = _mm512_maskz_loadu_epi32(some, at);
    return (vec<float>)_mm512_mask_i32gather_ps(_mm512_setzero_ps(), some, i, x, 4);
}
#elif defined(__AVX2__)
INLINE vec<float> pick(const float* x, const i32* at, i64 n) {
    if (n >= 8)
        return (vec<float>)_mm256_i32gather_ps(x, _mm256_loadu_si256((const __m256i*)at), 4);
    float some[8] = {};
    for (i64 i = 0; i < n; i++) some[i] = x[at[i]];
    return load(some);
}
#endif

#if defined(__AVX512F__)
// One sample where the j-th inputs of 16 outputs lie within a window of 32 or 64, as in the planes
// over a field: a permutation of registers takes the place of 16 loads.
//
//   base[block][j]    the window begins here (-1: no)      lane[block][j][16]    the inputs in it
static vec<float> sliced(const float* x, const float* w, const Rows& t, i64 block) {
    alignas(64) i32 e[16], some[16];
    i64 r = block * 16, n = std::min<i64>(16, t.rows - r);
    __mmask16 rows = (__mmask16)((1 << n) - 1);
    __m512i begin = _mm512_maskz_loadu_epi32(rows, t.indptr + r);
    __m512i fan = _mm512_sub_epi32(_mm512_maskz_loadu_epi32(rows, t.indptr + r + 1), begin);
    _mm512_store_si512(e, begin);
    i64 full = _mm512_reduce_min_epi32(fan);  // so many inputs have all 16
    __m512 a = _mm512_setzero_ps(), b = a;
    for (i64 j0 = 0; j0 < t.steps; j0 += 16) {
        vec<float> v[16];
        if (j0 + 16 <= full) {
#pragma GCC unroll 16
            for (int i = 0; i < 16; i++) v[i] = load(w + e[i] + j0);
        } else {
            __m512i left = _mm512_sub_epi32(fan, _mm512_set1_epi32((int)j0)),
                    one = _mm512_set1_epi32(1);
            left = _mm512_min_epi32(_mm512_max_epi32(left, _mm512_setzero_si512()),
                                    _mm512_set1_epi32(16));
            _mm512_store_si512(some, _mm512_sub_epi32(_mm512_sllv_epi32(one, left), one));
#pragma GCC unroll 16
            for (int i = 0; i < 16; i++)
                v[i] = (vec<float>)_mm512_maskz_loadu_ps((__mmask16)some[i], w + e[i] + j0);
        }
        transpose<float>(v);
        auto step = [&](i64 j, __m512 & sum, __mmask16 there) __attribute__((always_inline)) {
            i64 at = block * t.steps + j;
            const float* p = x + t.base[at];
            __m512i lane = _mm512_cvtepu8_epi32(_mm_loadu_si128((__m128i*)(t.lane + at * 16)));
            __m512 u = _mm512_permutex2var_ps(_mm512_loadu_ps(p), lane, _mm512_loadu_ps(p + 16));
            if (t.window > 32) {
                __m512 z =
                    _mm512_permutex2var_ps(_mm512_loadu_ps(p + 32), lane, _mm512_loadu_ps(p + 48));
                u = _mm512_mask_mov_ps(u, _mm512_test_epi32_mask(lane, _mm512_set1_epi32(32)), z);
            }
            sum = _mm512_mask3_fmadd_ps(u, (__m512)v[j - j0], sum, there);
        };
        i64 j = j0, end = std::min(j0 + 16, t.steps), plain = std::min(end, full);
        for (; j + 1 < plain; j += 2) step(j, a, 0xffff), step(j + 1, b, 0xffff);
        for (; j < end; j++)
            step(j, j & 1 ? b : a, _mm512_cmpgt_epi32_mask(fan, _mm512_set1_epi32((int)j)));
    }
    return (vec<float>)_mm512_add_ps(a, b);
}
#endif

template <class T, class C = typename computed<T>::type>
static void single(const T* x, const T* values, const T* bias, const Rows& t, i64 first, i64 last,
                   T* y) {
    constexpr i64 L = LANES<C>;
    for (i64 r = first; r < last; r += L) {
        i64 n = std::min(L, last - r);
#if defined(__AVX512F__)
        if constexpr (sizeof(T) == 4)
            if (t.base && t.base[r / 16 * t.steps] >= 0) {
                vec<C> s = sliced(x, values, t, r / 16);
                store(y + r, bias ? s + load(bias + r, n) : s, n);
                continue;
            }
#endif
        vec<C> acc[L] = {};
        for (i64 i = 0; i < n; i++) {
            vec<C> s = {};
            for (i64 e = t.indptr[r + i], end = t.indptr[r + i + 1]; e < end; e += L) {
                i64 k = std::min(L, end - e);
                s += (t.order ? pick(values, t.order + e, k) : load(values + e, k)) *
                     pick(x, t.cols + e, k);
            }
            acc[i] = s;
        }
        vec<C> s = sums<C>(acc);
        store(y + r, bias ? s + load(bias + r, n) : s, n);
    }
}

// Values of all members as compute type, in the order of the table.
template <class T, class C = typename computed<T>::type>
static const C* ordered(const T* values, const Rows& t, i64 members, i64 window, i64 threads,
                        C* to) {
    if constexpr (sizeof(T) == sizeof(C))
        if (!t.order) return values;
    i64 n = t.nonzeros * window;
    for (i64 m = 0; m < members; m++) {
        const T* from = values + m * n;
        C* into = to + m * n;
        const i32* order = t.of(m).order;
        share(n > 16384 ? threads : 1, t.nonzeros, [=](i64 e, i64 last) {
            for (; e < last; e++)
                for (i64 k = 0; k < window; k++)
                    into[e * window + k] = get(from + (order ? order[e] : e) * window + k);
        });
    }
    return to;
}

template <class T, int NV, class C = typename computed<T>::type>
static void batched(const T* x, const T* values, const T* bias, T* y, const Rows& t, i64 members,
                    i64 batch, i64 threads) {
    constexpr i64 TILE = NV * LANES<C>;
    i64 tiles = (batch + TILE - 1) / TILE, items = members * tiles;
    bool own = items % threads == 0 || items >= 4 * threads;  // each thread its tiles, or all of it
    i64 size = t.inputs * NV, held = own ? std::min(threads, items) : items;
    vec<C>* space = (vec<C>*)scratch.need(held * size * WIDTH + members * t.nonzeros * sizeof(C));
    const C* w = ordered(values, t, members, 1, threads, (C*)(space + held * size));
    auto fill = [&](i64 item, i64 first, i64 last, vec<C>* to) {
        i64 m = item / tiles, b = item % tiles * TILE;
        gather<T, NV>(x + (m * batch + b) * t.inputs, batch - b, t.inputs, first, last, to);
    };
    auto multiply = [&](i64 item, i64 first, i64 last, const vec<C>* from) {
        i64 m = item / tiles, b = item % tiles * TILE;
        outputs<T, NV>(from, w + m * t.nonzeros, bias ? bias + m * t.rows : nullptr, t.of(m),
                       batch - b, first, last, y + (m * batch + b) * t.rows);
    };
    if (own)
        return parallel(std::min(threads, items), [&](i64 part, i64 parts) {
            vec<C>* mine = space + part * size;
            for (i64 i = items * part / parts; i < items * (part + 1) / parts; i++)
                fill(i, 0, t.inputs, mine), multiply(i, 0, t.rows, mine);
        });
    auto split = [&](i64 n, auto&& body) {  // all items by blocks of 64 of their n columns
        i64 blocks = (n + 63) / 64;
        share(threads, items * blocks, [&](i64 i, i64 last) {
            for (; i < last; i++)
                body(i / blocks, i % blocks * 64, std::min(n, i % blocks * 64 + 64));
        });
    };
    split(t.inputs, [&](i64 i, i64 a, i64 b) { fill(i, a, b, space + i * size); });
    split(t.rows, [&](i64 i, i64 a, i64 b) { multiply(i, a, b, space + i * size); });
}

template <class T>
static void linear(const T* x, const T* values, const T* bias, T* y, const Rows& t, i64 members,
                   i64 batch, i64 threads) {
    constexpr i64 L = LANES<typename computed<T>::type>;
    if (batch > L) return batched<T, 2>(x, values, bias, y, t, members, batch, threads);
    if (batch > 3) return batched<T, 1>(x, values, bias, y, t, members, batch, threads);
    i64 work = members * batch * t.nonzeros, blocks = (t.rows + L - 1) / L;
    share(std::min(threads, 1 + work / (t.base ? 65536 : 16384)), members * batch * blocks,
          [&](i64 i, i64 last) {
              while (i < last) {
                  i64 item = i / blocks, m = item / batch,
                      end = std::min(last, (item + 1) * blocks);
                  single(x + item * t.inputs, values + m * t.nonzeros,
                         bias ? bias + m * t.rows : nullptr, t.of(m), (i - item * blocks) * L,
                         std::min(t.rows, (end - item * blocks) * L), y + item * t.rows);
                  i = end;
              }
          });
}

// Gradient of the values: for each connection (r, c) the product over the batch of g_r and x_c.
// The batch is taken in parts, so that the space does not grow with it.
constexpr i64 SPACE = 1 << 24, NEAR = 3 << 18;  // bytes: of a part, and of what is read at once
template <class T, int NV, class C = typename computed<T>::type>
static void sampled_part(const T* g, const T* x, const Rows& t, i64 batch, i64 threads, vec<C>* xs,
                         C* total) {
    constexpr i64 L = LANES<C>, TILE = NV * L;
    i64 tiles = (batch + TILE - 1) / TILE, nx = t.inputs * NV, ng = t.rows * NV;
    i64 near = std::max<i64>(1, NEAR / (nx * WIDTH));
    vec<C>* gs = xs + tiles * nx;
    auto fill = [&](const T* from, i64 width, vec<C>* into) {
        i64 blocks = (width + 63) / 64;
        share(threads, tiles * blocks, [&](i64 i, i64 last) {
            for (; i < last; i++) {
                i64 b = i / blocks * TILE, c = i % blocks * 64;
                gather<T, NV>(from + b * width, batch - b, width, c, std::min(width, c + 64),
                              into + i / blocks * width * NV);
            }
        });
    };
    fill(x, t.inputs, xs);
    fill(g, t.rows, gs);
    auto block = [&](i64 r, i64 e, i64 n, i64 from, i64 to) {
        vec<C> acc[L] = {};
        for (i64 tile = from; tile < to; tile++) {
            const vec<C>*gr = gs + tile * ng + r * NV, *xt = xs + tile * nx;
            for (i64 i = 0; i < n; i++) {
                const vec<C>* p = xt + (i64)t.cols[e + i] * NV;
                vec<C> s = acc[i];
#pragma GCC unroll 4
                for (int v = 0; v < NV; v++) s += gr[v] * p[v];
                acc[i] = s;
            }
        }
        store(total + e, load(total + e, n) + sums<C>(acc), n);
    };
    share(threads, t.rows, [&](i64 first, i64 last) {
        for (i64 from = 0; from < tiles; from += near)
            for (i64 r = first; r < last; r++)
                for (i64 e = t.indptr[r], end = t.indptr[r + 1]; e < end; e += L)
                    block(r, e, std::min(L, end - e), from, std::min(from + near, tiles));
    });
}

template <class T, int NV, class C = typename computed<T>::type>
static void sampled_all(const T* g, const T* x, T* to, const Rows& t, i64 members, i64 batch,
                        i64 threads) {
    constexpr i64 L = LANES<C>, TILE = NV * L;
    i64 tiles = (batch + TILE - 1) / TILE, width = (t.inputs + t.rows) * NV;
    i64 held = std::clamp<i64>(SPACE / (width * WIDTH), 1, tiles);
    i64 size = held * width + (t.nonzeros + L - 1) / L;
    bool own = members >= threads;  // each thread its members, or all of them one
    vec<C>* space = (vec<C>*)scratch.need((own ? threads : 1) * size * WIDTH);
    auto member = [&](i64 m, i64 inner, vec<C>* mine) {
        C* total = (C*)(mine + held * width);
        std::fill(total, total + t.nonzeros, C(0));
        for (i64 b = 0; b < batch; b += held * TILE)
            sampled_part<T, NV>(g + (m * batch + b) * t.rows, x + (m * batch + b) * t.inputs,
                                t.of(m), std::min(held * TILE, batch - b), inner, mine, total);
        for (i64 e = 0; e < t.nonzeros; e++) put(to + m * t.nonzeros + e, total[e]);
    };
    if (!own)
        for (i64 m = 0; m < members; m++) member(m, threads, space);
    else
        parallel(std::min(threads, members), [&](i64 part, i64 parts) {
            for (i64 m = members * part / parts; m < members * (part + 1) / parts; m++)
                member(m, 1, space + part * size);
        });
}

template <class T>
static void sampled(const T* g, const T* x, const T*, T* to, const Rows& t, i64 members, i64 batch,
                    i64 threads) {
    constexpr i64 L = LANES<typename computed<T>::type>;
    auto run = batch <= L       ? sampled_all<T, 1>
               : batch <= 2 * L ? sampled_all<T, 2>
                                : sampled_all<T, 4>;
    run(g, x, to, t, members, batch, threads);
}
