// Memory, threads and vectors: what all kernels stand on.
//
// A vector has LANES values of the compute type: 512, 256 or 128 bits, as the compiler is told.
// Storage is float, double or bfloat16 (computed in float).

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#if defined(__AVX512F__)
#define WIDTH 64
#elif defined(__AVX2__)
#define WIDTH 32
#else
#define WIDTH 16
#endif
#if defined(__AVX2__)
#include <immintrin.h>
#endif
#ifndef IDDL_KEY
#define IDDL_KEY "unknown"
#endif
#ifdef _OPENMP
extern "C" int omp_get_thread_num();
extern "C" int omp_get_num_threads();
#endif

#define INLINE inline __attribute__((always_inline))
typedef int64_t i64;
typedef int32_t i32;

struct bf16 {
    uint16_t bits;
};
template <class T>
struct computed {
    typedef T type;
};
template <>
struct computed<bf16> {
    typedef float type;
};

template <class C>
struct simd {
    typedef C type __attribute__((vector_size(WIDTH)));
};
template <class C>
using vec = typename simd<C>::type;
template <class C>
constexpr int LANES = WIDTH / sizeof(C);
typedef uint32_t vu __attribute__((vector_size(WIDTH)));
typedef uint16_t vh __attribute__((vector_size(WIDTH / 2)));

// ---------------------------------------------------------------- memory and threads

struct Scratch {  // one a thread that calls, kept between calls: pages are not faulted in again
    void* base = nullptr;
    size_t size = 0;
    ~Scratch() { free(base); }
    void* need(size_t bytes) {
        if (bytes > size || (size >> 26 && bytes < size / 8)) {
            free(base);
            size = (bytes + 4095) / 4096 * 4096;
            base = aligned_alloc(4096, size);
            if (!base) size = 0;
        }
        if (!base && bytes) throw std::bad_alloc();
        return base;
    }
};
static thread_local Scratch scratch, kept;

template <class F>
static void parallel(i64 parts, F&& body) {  // body(part, parts)
    if (parts <= 1) return body((i64)0, (i64)1);
#ifdef _OPENMP
#pragma omp parallel num_threads((int)parts)
    body((i64)omp_get_thread_num(), (i64)omp_get_num_threads());
#else
    body((i64)0, (i64)1);
#endif
}

template <class F>
static void share(i64 threads, i64 items, F&& body) {  // body(first, last)
    parallel(std::min(threads, items),
             [&](i64 part, i64 parts) { body(items * part / parts, items * (part + 1) / parts); });
}

// ---------------------------------------------------------------- vectors

template <class C>
INLINE vec<C> spread(C x) {
    return x - vec<C>{};
}

template <class V>
INLINE V read(const void* p) {
    V v;
    memcpy(&v, p, sizeof v);
    return v;
}
INLINE vec<float> load(const float* p) { return read<vec<float>>(p); }
INLINE vec<double> load(const double* p) { return read<vec<double>>(p); }
INLINE vec<float> load(const bf16* p) {
    return (vec<float>)(__builtin_convertvector(read<vh>(p), vu) << 16);
}
template <class T, class C = typename computed<T>::type>
INLINE vec<C> load(const T* p, i64 n) {
    if (n >= LANES<C>) return load(p);
    T some[LANES<C>] = {};
    memcpy(some, p, std::max<i64>(n, 0) * sizeof(T));
    return load(some);
}
INLINE void store(float* p, vec<float> v) { memcpy(p, &v, WIDTH); }
INLINE void store(double* p, vec<double> v) { memcpy(p, &v, WIDTH); }
INLINE void store(bf16* p, vec<float> v) {  // to the nearest, ties to even; NaN stays NaN
    vu u = (vu)v;
    vu up = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
    vu nan = (vu)(v != v);
    vh h = __builtin_convertvector((up & ~nan) | (nan & 0x7fc0), vh);
    memcpy(p, &h, sizeof h);
}
template <class T, class V>
INLINE void store(T* p, V v, i64 n) {
    constexpr i64 L = LANES<typename computed<T>::type>;
    if (n >= L) return store(p, v);
    T some[L];
    store(some, v);
    memcpy(p, some, std::max<i64>(n, 0) * sizeof(T));
}
INLINE float get(const float* p) { return *p; }
INLINE double get(const double* p) { return *p; }
INLINE float get(const bf16* p) {
    uint32_t u = (uint32_t)p->bits << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}
INLINE void put(bf16* p, float x) { store(p, spread(x), 1); }
INLINE void put(float* p, float x) { *p = x; }
INLINE void put(double* p, double x) { *p = x; }

// One step of a transpose of LANES x LANES: swaps the off-diagonal S x S blocks of rows a and b.
template <class C, int S, size_t... J>
INLINE void cross(vec<C>& a, vec<C>& b, std::index_sequence<J...>) {
    constexpr int L = LANES<C>;
    vec<C> low = __builtin_shufflevector(a, b, (int)((J & S) ? L + J - S : J)...);
    b = __builtin_shufflevector(a, b, (int)((J & S) ? L + J : J + S)...);
    a = low;
}
template <class C, int S = 1>
INLINE void transpose(vec<C>* r) {
    if constexpr (S < LANES<C>) {
#pragma GCC unroll 16
        for (int i = 0; i < LANES<C>; i++)
            if (!(i & S)) cross<C, S>(r[i], r[i + S], std::make_index_sequence<LANES<C>>());
        transpose<C, 2 * S>(r);
    }
}
// Lane i becomes the sum of row i.
template <class C, int S = 1>
INLINE vec<C> sums(vec<C>* r) {
    if constexpr (S < LANES<C>) {
#pragma GCC unroll 16
        for (int i = 0; i < LANES<C>; i += 2 * S) {
            cross<C, S>(r[i], r[i + S], std::make_index_sequence<LANES<C>>());
            r[i] += r[i + S];
        }
        return sums<C, 2 * S>(r);
    }
    return r[0];
}
