// Enough of CUDA to run fine.cu on a processor: a thread for each thread of a block, one block after
// the other, and the two instructions of tensor cores by the book (PTX ISA, ldmatrix and mma).
#include <barrier>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#define EMULATED
#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__
#define __launch_bounds__(...)

struct uint2 { uint32_t x, y; };
struct alignas(16) uint4 { uint32_t x, y, z, w; };
struct float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
static uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }
static float2 make_float2(float x, float y) { return {x, y}; }
static float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
struct dim { unsigned x, y, z; };
static thread_local dim threadIdx, blockIdx;
static dim gridDim;
static uint4 *held;  // as large as the block asked for, so that a sanitizer sees what is beyond
#define tile held_tile
static thread_local uint4 *held_tile;

template <class T> T __ldg(const T *p) { return *p; }
static float __uint_as_float(uint32_t v) { float f; memcpy(&f, &v, 4); return f; }
static uint32_t __float_as_uint(float f) { uint32_t v; memcpy(&v, &f, 4); return v; }
static uint32_t __byte_perm(uint32_t a, uint32_t b, uint32_t how) {
    const uint64_t v = (uint64_t)b << 32 | a;
    uint32_t d = 0;
    for (int i = 0; i < 4; i++) d |= (uint32_t)(v >> 8 * (how >> 4 * i & 7) & 0xff) << 8 * i;
    return d;
}

static uint32_t rounded(float f) {  // to bf16, ties to even
    const uint32_t v = __float_as_uint(f);
    return (v + 0x7fff + (v >> 16 & 1)) >> 16;
}
static uint32_t both(float low, float high) { return rounded(low) | rounded(high) << 16; }
static float half_of(uint32_t v, int i) { return __uint_as_float(i ? v & 0xffff0000u : v << 16); }
static uint32_t fma2(uint32_t a, uint32_t b, uint32_t c) {
    float d[2];
    for (int i = 0; i < 2; i++) d[i] = std::fma(half_of(a, i), half_of(b, i), half_of(c, i));
    return both(d[0], d[1]);
}

struct Warp {
    std::barrier<> meet{32};
    uint32_t at[32], a[32][4], b[32][2];
};
static std::unique_ptr<std::barrier<>> block_meet;
static std::vector<std::unique_ptr<Warp>> warps;
static void __syncthreads() { block_meet->arrive_and_wait(); }
static uint32_t address(const void *) { return 0; }

template <bool FLIP> void rows(uint32_t *a, uint32_t at) {
    Warp &w = *warps[threadIdx.x / 32];
    const int lane = threadIdx.x % 32;
    w.at[lane] = at;
    w.meet.arrive_and_wait();
    for (int i = 0; i < 4; i++) {
        uint16_t two[2];
        for (int k = 0; k < 2; k++) {
            const int row = FLIP ? 2 * (lane % 4) + k : lane / 4;
            const int col = FLIP ? lane / 4 : 2 * (lane % 4) + k;
            two[k] = ((const uint16_t *)((const char *)held + w.at[8 * i + row]))[col];
        }
        a[i] = two[0] | (uint32_t)two[1] << 16;
    }
    w.meet.arrive_and_wait();
}

static void mma(float *d, const uint32_t *a, uint32_t b0, uint32_t b1) {
    Warp &w = *warps[threadIdx.x / 32];
    const int lane = threadIdx.x % 32;
    memcpy(w.a[lane], a, 16);
    w.b[lane][0] = b0, w.b[lane][1] = b1;
    w.meet.arrive_and_wait();
    for (int i = 0; i < 4; i++) {
        const int m = lane / 4 + 8 * (i / 2), n = 2 * (lane % 4) + i % 2;
        for (int k = 0; k < 16; k++) {
            const int of = k % 8 / 2;
            const uint32_t va = w.a[4 * (m % 8) + of][m / 8 + 2 * (k / 8)];
            d[i] += half_of(va, k % 2) * half_of(w.b[4 * n + of][k / 8], k % 2);
        }
    }
    w.meet.arrive_and_wait();
}

template <class F> void launch(F body, unsigned x, unsigned y, unsigned z, int threads, long bytes) {
    gridDim = {x, y, z};
    held = (uint4 *)malloc(bytes);
    for (unsigned i = 0; i < x * y * z; i++) {
        memset(held, 0xff, bytes);  // NaN
        block_meet = std::make_unique<std::barrier<>>(threads);
        warps.clear();
        for (int k = 0; k < threads / 32; k++) warps.push_back(std::make_unique<Warp>());
        std::vector<std::thread> all;
        for (int t = 0; t < threads; t++)
            all.emplace_back([=] {
                threadIdx = {(unsigned)t, 0, 0};
                blockIdx = {i % x, i / x % y, i / (x * y)};
                held_tile = held;
                body();
            });
        for (auto &one : all) one.join();
    }
    free(held);
}
