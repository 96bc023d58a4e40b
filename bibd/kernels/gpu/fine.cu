// Products with fine patterns (single connections): see bibd.kernels.gpu.forms.
//
// The inputs of 8 S samples stand in shared memory, features-major: a row of S segments of 16 bytes
// for each input. Segment s of row r is at 16 (ENTRY(r) ^ s): the eight rows of consecutive
// residues mod 8 lie in different banks, whatever S is. The tables hold ENTRY(r).
//
//   rows_mma     16 inputs of one output x 16 samples are one A of mma.m16n8k16, brought together
//                by ldmatrix, which takes an address for each row; B holds the output's weights in
//                one of its eight columns and zeros elsewhere, so that D gets eight outputs
//   weights_mma  the same with A transposed; B has the outer gradient in one column
//   rows_lanes   a lane has an output and a segment, and multiplies on ordinary units
//   weights_lanes
//
// Set by #define: KERNEL_name, S, WARPS, SETS (eights of outputs of a warp, or fours and so on: OUTS), CHUNK
// (inputs held at a time), CHUNKS, STEPS (16 inputs each for mma, 8 for lanes), BLOCKS (of a
// multiprocessor), WIDE (1: float32), MODE (of rows_lanes in bf16: 0 float32, 1 products in bf16x2
// and sums in float32, 2 eight terms in bf16x2), PART (1: load only, 2: multiply only), EDGES (1:
// the last chunk or the last group is not full).

typedef unsigned int u32;
typedef unsigned short u16;
#define ENTRY(r) (S * (r) + (((r) / (8 / S)) % S))
#define THREADS (32 * WARPS)
#if EDGES
#define WITHIN(place, size) ((place) < (size))
#else
#define WITHIN(place, size) true
#endif

#if WIDE
#define SAMPLES (4 * S)
typedef float real;
#else
#define SAMPLES (8 * S)
typedef u16 real;
#endif

#ifndef EMULATED  // (tests run this file on the processor, with these five of their own)
__device__ __forceinline__ u32 both(float low, float high) {
    u32 d;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(d) : "f"(high), "f"(low));
    return d;
}

__device__ __forceinline__ u32 fma2(u32 a, u32 b, u32 c) {
    u32 d;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
}

template <bool FLIP>
__device__ __forceinline__ void rows(u32* a, u32 at) {
    if (FLIP)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3]) : "r"(at) : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3]) : "r"(at) : "memory");
}

__device__ __forceinline__ void mma(float* d, const u32* a, u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ u32 address(const void* tile) {
    return (u32)__cvta_generic_to_shared(tile);
}
#endif

__device__ __forceinline__ float low(u32 v) { return __uint_as_float(v << 16); }
__device__ __forceinline__ float high(u32 v) { return __uint_as_float(v & 0xffff0000u); }

// Inputs first .. first + CHUNK of SAMPLES samples, from (batch, inputs) to the tile.
__device__ __forceinline__ void load(
    const real* x, uint4* tile, int first, int inputs, int batch, int b0) {
    for (int u = threadIdx.x; u < CHUNK / 2 * S; u += THREADS) {
        const int s = u / (CHUNK / 2), f = 2 * (u % (CHUNK / 2));
        const bool here = WITHIN(first + f, inputs);  // (inputs are even)
#if WIDE
        float2 v[4];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int b = b0 + 4 * s + j;
            v[j] = make_float2(0, 0);
            if (b < batch && here) v[j] = __ldg((const float2*)(x + (size_t)b * inputs + first + f));
        }
        float4* out = (float4*)tile;
        out[ENTRY(f) ^ s] = make_float4(v[0].x, v[1].x, v[2].x, v[3].x);
        out[ENTRY(f + 1) ^ s] = make_float4(v[0].y, v[1].y, v[2].y, v[3].y);
#else
        u32 v[8], p[4], q[4];
#pragma unroll
        for (int j = 0; j < 8; j++) {
            const int b = b0 + 8 * s + j;
            v[j] = b < batch && here ? __ldg((const u32*)(x + (size_t)b * inputs + first + f)) : 0;
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            p[i] = __byte_perm(v[2 * i], v[2 * i + 1], 0x5410);
            q[i] = __byte_perm(v[2 * i], v[2 * i + 1], 0x7632);
        }
        tile[ENTRY(f) ^ s] = make_uint4(p[0], p[1], p[2], p[3]);
        tile[ENTRY(f + 1) ^ s] = make_uint4(q[0], q[1], q[2], q[3]);
#endif
    }
}


// The eight byte offsets of a lane's rows, one for each output of the eight.
__device__ __forceinline__ void offsets(u32* at, uint4 e, u32 segment) {
    const u32 flip = segment * 0x10001u, v[4] = {e.x ^ flip, e.y ^ flip, e.z ^ flip, e.w ^ flip};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        at[2 * i] = (v[i] & 0xffffu) << 4;
        at[2 * i + 1] = (v[i] >> 16) << 4;
    }
}

#ifdef KERNEL_rows_mma
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) rows_mma(
    const u16* x, const uint2* weights, const uint4* table, u16* y, int batch, int inputs,
    int outputs, int rounds) {
    extern __shared__ uint4 tile[];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, own = lane >> 2;
    const int b0 = blockIdx.x * SAMPLES, slot = (lane >> 4) * 8 + (lane & 7);
    const u32 segment = (lane >> 3) & 1, base = address(tile);
    for (int round = 0; round < rounds; round++) {
        const int group = blockIdx.y * rounds + round;
        float acc[SETS][S / 2][4] = {};
        for (int chunk = 0; chunk < CHUNKS; chunk++) {
            if (PART != 2 && (CHUNKS > 1 || round == 0)) {
                __syncthreads();
                load(x, tile, chunk * CHUNK, inputs, batch, b0);
                __syncthreads();
            }
            const size_t at = (((size_t)group * CHUNKS + chunk) * WARPS + warp) * SETS * STEPS;
            const uint4* e = table + at * 16 + slot;
            const uint2* w = weights + at * 32 + lane;
#pragma unroll
            for (int o = 0; o < SETS; o++)
#pragma unroll
                for (int c = 0; c < STEPS; c++) {
                    if (PART == 1) continue;
                    u32 off[8], a[4];
                    offsets(off, __ldg(e + 16 * (o * STEPS + c)), segment);
                    const uint2 b = __ldg(w + 32 * (o * STEPS + c));
#pragma unroll
                    for (int j = 0; j < 8; j++) {
                        const u32 p = own == j ? b.x : 0, q = own == j ? b.y : 0;
#pragma unroll
                        for (int h = 0; h < S / 2; h++) {
                            rows<true>(a, base + (off[j] ^ (h << 5)));
                            mma(acc[o][h], a, p, q);
                        }
                    }
                }
        }
#pragma unroll
        for (int o = 0; o < SETS; o++)
#pragma unroll
            for (int h = 0; h < S / 2; h++)
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    const int b = b0 + 16 * h + 8 * i + own;
                    const int to = ((group * WARPS + warp) * SETS + o) * 8 + 2 * (lane & 3);
                    if (b < batch && WITHIN(to, outputs))  // (outputs are even)
                        *(u32*)(y + (size_t)b * outputs + to) =
                            both(acc[o][h][2 * i], acc[o][h][2 * i + 1]);
                }
    }
}
#endif

#ifdef KERNEL_weights_mma
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) weights_mma(
    const u16* x, const u16* g, const uint4* table, float* dw, int batch, int inputs, int outputs,
    int tiles) {
    extern __shared__ uint4 tile[];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, own = lane >> 2;
    const int slot = ((lane >> 3) & 1) * 8 + (lane & 7), group = blockIdx.y, chunk = blockIdx.z;
    const u32 segment = lane >> 4, base = address(tile);
    const size_t at = (((size_t)group * CHUNKS + chunk) * WARPS + warp) * SETS * STEPS;
    const uint4* e = table + at * 16 + slot;
    float acc[SETS][STEPS][4] = {};
    for (int t = 0; t < tiles; t++) {
        const int b0 = (blockIdx.x * tiles + t) * SAMPLES;
        __syncthreads();
        load(x, tile, chunk * CHUNK, inputs, batch, b0);
        __syncthreads();
#pragma unroll
        for (int o = 0; o < SETS; o++) {
            u32 b[S / 2][2];
            const int output = ((group * WARPS + warp) * SETS + o) * 8 + own;
            const int most = WITHIN(output, outputs) ? batch : 0;
            const u16* from = g + output;
#pragma unroll
            for (int h = 0; h < S / 2; h++)
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    const int n = b0 + 16 * h + 8 * i + 2 * (lane & 3);
                    u32 one = n < most ? __ldg(from + (size_t)n * outputs) : 0;
                    u32 two = n + 1 < most ? __ldg(from + (size_t)(n + 1) * outputs) : 0;
                    b[h][i] = one | two << 16;
                }
#pragma unroll
            for (int c = 0; c < STEPS; c++) {
                u32 off[8], a[4];
                offsets(off, __ldg(e + 16 * (o * STEPS + c)), segment);
#pragma unroll
                for (int j = 0; j < 8; j++)
#pragma unroll
                    for (int h = 0; h < S / 2; h++) {
                        rows<false>(a, base + (off[j] ^ (h << 5)));
                        mma(acc[o][c], a, own == j ? b[h][0] : 0, own == j ? b[h][1] : 0);
                    }
            }
        }
    }
    // D has slot lane / 4 (and 8 more) of outputs 2 (lane % 4) and the next; dw is laid out as the
    // weights are: lane 4 output + slot % 8 / 2, there slot / 8 and slot % 2.
    float* to = dw + ((size_t)blockIdx.x * gridDim.y * CHUNKS * WARPS * SETS * STEPS + at) * 128;
#pragma unroll
    for (int o = 0; o < SETS; o++)
#pragma unroll
        for (int c = 0; c < STEPS; c++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int n = 2 * (lane & 3) + (i & 1);
                to[128 * (o * STEPS + c) + 16 * n + 4 * (own / 2) + 2 * (i / 2) + own % 2] =
                    acc[o][c][i];
            }
}
#endif

#define OUTS (32 / S)
#define EACH (SAMPLES / S)  // samples of a lane

#ifdef KERNEL_rows_lanes
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) rows_lanes(
    const real* x, const uint4* weights, const uint4* table, real* y, int batch, int inputs,
    int outputs, int rounds) {
    extern __shared__ uint4 tile[];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, s = lane % S, own = lane / S;
    const int b0 = blockIdx.x * SAMPLES;
    for (int round = 0; round < rounds; round++) {
        const int group = blockIdx.y * rounds + round;
        float acc[SETS][EACH] = {};
        for (int chunk = 0; chunk < CHUNKS; chunk++) {
            if (PART != 2 && (CHUNKS > 1 || round == 0)) {
                __syncthreads();
                load(x, tile, chunk * CHUNK, inputs, batch, b0);
                __syncthreads();
            }
            const size_t at = (((size_t)group * CHUNKS + chunk) * WARPS + warp) * SETS * STEPS;
#pragma unroll
            for (int o = 0; o < SETS; o++)
#pragma unroll
                for (int c = 0; c < STEPS; c++) {
                    const size_t place = (at + o * STEPS + c) * OUTS + own;
                    const uint4 e4 = __ldg(table + place);
                    const u32 e[4] = {e4.x, e4.y, e4.z, e4.w};
#if WIDE
                    const uint4 w0 = __ldg(weights + 2 * place), w1 = __ldg(weights + 2 * place + 1);
                    const u32 w[8] = {w0.x, w0.y, w0.z, w0.w, w1.x, w1.y, w1.z, w1.w};
#else
                    const uint4 w0 = __ldg(weights + place);
                    const u32 w[4] = {w0.x, w0.y, w0.z, w0.w};
                    u32 part[4] = {};
#endif
#pragma unroll
                    for (int i = 0; i < 8; i++) {
                        const u32 row = i & 1 ? e[i / 2] >> 16 : e[i / 2] & 0xffffu;
                        const uint4 v4 = tile[row ^ s];
                        const u32 v[4] = {v4.x, v4.y, v4.z, v4.w};
#pragma unroll
                        for (int k = 0; k < 4; k++) {
#if WIDE
                            acc[o][k] = fmaf(__uint_as_float(w[i]), __uint_as_float(v[k]), acc[o][k]);
#else
                            if (MODE == 0) {
                                const float f = i & 1 ? high(w[i / 2]) : low(w[i / 2]);
                                acc[o][2 * k] = fmaf(f, low(v[k]), acc[o][2 * k]);
                                acc[o][2 * k + 1] = fmaf(f, high(v[k]), acc[o][2 * k + 1]);
                            } else {
                                const u32 f = __byte_perm(w[i / 2], 0, i & 1 ? 0x3232 : 0x1010);
                                // (-0 + a is a, so this is the product alone)
                                const u32 none = MODE == 1 || i == 0 ? 0x80008000u : part[k];
                                part[k] = fma2(f, v[k], none);
                                if (MODE == 1 || i == 7) {
                                    acc[o][2 * k] += low(part[k]);
                                    acc[o][2 * k + 1] += high(part[k]);
                                }
                            }
#endif
                        }
                    }
                }
        }
#pragma unroll
        for (int o = 0; o < SETS; o++)
#pragma unroll
            for (int k = 0; k < EACH; k++) {
                const int b = b0 + EACH * s + k;
                const int to = ((group * WARPS + warp) * SETS + o) * OUTS + own;
#if WIDE
                if (b < batch && WITHIN(to, outputs)) y[(size_t)b * outputs + to] = acc[o][k];
#else
                if (b < batch && WITHIN(to, outputs))
                    y[(size_t)b * outputs + to] = (u16)both(acc[o][k], 0);
#endif
            }
    }
}
#endif

#ifdef KERNEL_weights_lanes
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) weights_lanes(
    const float* x, const float* g, const uint4* table, float* dw, int batch, int inputs,
    int outputs, int tiles) {
    extern __shared__ uint4 tile[];
    const float4* held = (const float4*)tile;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const int group = blockIdx.y, chunk = blockIdx.z;
    const size_t at = (((size_t)group * CHUNKS + chunk) * WARPS + warp) * SETS * STEPS;
    float acc[SETS][STEPS][8] = {};
    for (int t = 0; t < tiles; t++) {
        const int b0 = (blockIdx.x * tiles + t) * SAMPLES;
        __syncthreads();
        load(x, tile, chunk * CHUNK, inputs, batch, b0);
        __syncthreads();
#pragma unroll
        for (int o = 0; o < SETS; o++) {
            float d[4];
            const int output = ((group * WARPS + warp) * SETS + o) * 32 + lane;
            const int most = WITHIN(output, outputs) ? batch : 0;
            const float* from = g + output;
#pragma unroll
            for (int k = 0; k < 4; k++)
                d[k] = b0 + k < most ? __ldg(from + (size_t)(b0 + k) * outputs) : 0.f;
#pragma unroll
            for (int c = 0; c < STEPS; c++) {
                const uint4 e4 = __ldg(table + (at + o * STEPS + c) * 32 + lane);
                const u32 e[4] = {e4.x, e4.y, e4.z, e4.w};
#pragma unroll
                for (int i = 0; i < 8; i++) {
                    const float4 v = held[i & 1 ? e[i / 2] >> 16 : e[i / 2] & 0xffffu];
                    acc[o][c][i] += d[0] * v.x + d[1] * v.y + d[2] * v.z + d[3] * v.w;
                }
            }
        }
    }
    float* to = dw + ((size_t)blockIdx.x * gridDim.y * CHUNKS * WARPS * SETS * STEPS + at) * 256;
#pragma unroll
    for (int o = 0; o < SETS; o++)
#pragma unroll
        for (int c = 0; c < STEPS; c++)
#pragma unroll
            for (int i = 0; i < 8; i++) to[((o * STEPS + c) * 32 + lane) * 8 + i] = acc[o][c][i];
}
#endif
