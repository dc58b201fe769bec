// The bodies of the code operators in _code_ops.py, which Jittor compiles once for each type of its inputs.
//
// An array is seen as (outer, n, inner) around the axis in question, so that no rank and no axis compiles anew.
// Every output element is summed by one thread in a fixed order: the same input gives the same bits.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace code_ops {

// Jittor compiles with -Ofast, which may not compare NaN: integers of the same order may. NaN is the largest.
inline int32_t sort_key(float value) {
    if (value == 0.0f) return 0;  // -0.0 and 0.0 are equal
    int32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000) return std::numeric_limits<int32_t>::max();
    return bits < 0 ? bits ^ 0x7fffffff : bits;
}
inline int32_t sort_key(int32_t value) { return value; }
inline int32_t sort_key(bool value) { return value; }

// The first `kept` positions of each row, ordered; of equals the first comes first.
template <class T>
void order(const T* x, int32_t* positions, long outer, long n, long inner, long kept, bool descending) {
    #pragma omp parallel for schedule(static)
    for (long row = 0; row < outer * inner; row++) {
        const T* values = x + row / inner * n * inner + row % inner;
        int32_t* out = positions + row / inner * kept * inner + row % inner;
        std::vector<std::pair<int64_t, int32_t>> keys(n);
        for (long i = 0; i < n; i++) {
            int64_t key = sort_key(values[i * inner]);
            keys[i] = {descending ? -key : key, (int32_t)i};
        }
        if (kept < n) std::nth_element(keys.begin(), keys.begin() + kept, keys.end());
        std::sort(keys.begin(), keys.begin() + kept);
        for (long i = 0; i < kept; i++) out[i * inner] = keys[i].second;
    }
}

// The position of the largest (or smallest) of each row, the first of equals.
template <class T>
void extremum(const T* x, int32_t* positions, long outer, long n, long inner, bool largest) {
    #pragma omp parallel for schedule(static)
    for (long o = 0; o < outer; o++) {
        std::vector<int32_t> best(inner);
        int32_t* out = positions + o * inner;
        const T* values = x + o * n * inner;
        for (long j = 0; j < inner; j++) out[j] = 0, best[j] = sort_key(values[j]);
        for (long i = 1; i < n; i++)
            for (long j = 0; j < inner; j++) {
                int32_t key = sort_key(values[i * inner + j]);
                if (largest ? key > best[j] : key < best[j]) best[j] = key, out[j] = (int32_t)i;
            }
    }
}

// Throws before anything is read or written elsewhere.
inline void check_indices(const int32_t* indices, long count, long n) {
    for (long i = 0; i < count; i++)
        if (indices[i] < 0 || indices[i] >= n)
            throw std::out_of_range("index " + std::to_string(indices[i]) + " on an axis of " + std::to_string(n));
}

// out (outer, k, inner) = x[:, indices, :]
template <class T>
void take(const T* x, const int32_t* indices, T* out, long outer, long n, long inner, long k) {
    check_indices(indices, k, n);
    #pragma omp parallel for schedule(static)
    for (long o = 0; o < outer; o++)
        for (long i = 0; i < k; i++)
            std::copy_n(x + (o * n + indices[i]) * inner, inner, out + (o * k + i) * inner);
}

// out (outer, n, inner) = zeros with values (outer, k, inner) added at the indices
template <class T>
void scatter_add(const int32_t* indices, const T* values, T* out, long outer, long n, long inner, long k) {
    check_indices(indices, k, n);
    #pragma omp parallel for schedule(static)
    for (long o = 0; o < outer; o++) {
        std::fill_n(out + o * n * inner, n * inner, T(0));
        for (long i = 0; i < k; i++)
            for (long j = 0; j < inner; j++) out[(o * n + indices[i]) * inner + j] += values[(o * k + i) * inner + j];
    }
}

// out (outer, k, inner): out[o, i, j] = x[o, indices[o, i, j], j]
template <class T>
void take_along(const T* x, const int32_t* indices, T* out, long outer, long n, long inner, long k) {
    check_indices(indices, outer * k * inner, n);
    #pragma omp parallel for schedule(static)
    for (long o = 0; o < outer; o++)
        for (long i = 0; i < k; i++)
            for (long j = 0; j < inner; j++) {
                long at = (o * k + i) * inner + j;
                out[at] = x[(o * n + indices[at]) * inner + j];
            }
}

template <class T>
void scatter_add_along(const int32_t* indices, const T* values, T* out, long outer, long n, long inner, long k) {
    check_indices(indices, outer * k * inner, n);
    #pragma omp parallel for schedule(static)
    for (long o = 0; o < outer; o++) {
        std::fill_n(out + o * n * inner, n * inner, T(0));
        for (long i = 0; i < k; i++)
            for (long j = 0; j < inner; j++) {
                long at = (o * k + i) * inner + j;
                out[(o * n + indices[at]) * inner + j] += values[at];
            }
    }
}

inline long nonzero(const bool* mask, int32_t* positions, long n) {
    long count = 0;
    for (long i = 0; i < n; i++)
        if (mask[i]) positions[count++] = (int32_t)i;
    return count;
}

// softmax, or its logarithm, over n
inline void softmax(const float* x, float* out, long outer, long n, long inner, bool logarithm) {
    #pragma omp parallel for schedule(static)
    for (long row = 0; row < outer * inner; row++) {
        long start = row / inner * n * inner + row % inner;
        const float* from = x + start;
        float* to = out + start;
        float largest = -std::numeric_limits<float>::max(), total = 0;
        for (long i = 0; i < n; i++) largest = std::max(largest, from[i * inner]);
        for (long i = 0; i < n; i++) total += to[i * inner] = std::exp(from[i * inner] - largest);
        if (logarithm) {
            float shift = largest + std::log(total);
            for (long i = 0; i < n; i++) to[i * inner] = from[i * inner] - shift;
        } else {
            for (long i = 0; i < n; i++) to[i * inner] /= total;
        }
    }
}

// `out` is what softmax gave, `gradient` that of the loss with respect to it
inline void softmax_gradient(
    const float* out, const float* gradient, float* dx, long outer, long n, long inner, bool logarithm
) {
    #pragma omp parallel for schedule(static)
    for (long row = 0; row < outer * inner; row++) {
        long start = row / inner * n * inner + row % inner;
        const float *y = out + start, *g = gradient + start;
        float* to = dx + start;
        float total = 0;
        for (long i = 0; i < n; i++) total += logarithm ? g[i * inner] : g[i * inner] * y[i * inner];
        for (long i = 0; i < n; i++) {
            float share = y[i * inner];
            to[i * inner] = logarithm ? g[i * inner] - std::exp(share) * total : share * (g[i * inner] - total);
        }
    }
}

// For each of `size` output positions along one side: the two input positions and the second one's weight.
struct Side {
    std::vector<long> first, second;
    std::vector<float> weight;

    Side(long from, long size, bool bilinear, bool corners) : first(size), second(size), weight(size) {
        float scale = corners ? (size > 1 ? (float)(from - 1) / (size - 1) : 0.0f) : (float)from / size;
        for (long i = 0; i < size; i++) {
            float source = corners || !bilinear ? i * scale : std::max((i + 0.5f) * scale - 0.5f, 0.0f);
            first[i] = std::min((long)source, from - 1);
            second[i] = bilinear ? std::min(first[i] + 1, from - 1) : first[i];
            weight[i] = bilinear ? source - first[i] : 0.0f;
        }
    }
};

// x (planes, h, w) -> out (planes, height, width)
inline void resize(
    const float* x, float* out, long planes, long h, long w, long height, long width, bool bilinear, bool corners
) {
    Side rows(h, height, bilinear, corners), columns(w, width, bilinear, corners);
    #pragma omp parallel for schedule(static)
    for (long p = 0; p < planes; p++)
        for (long i = 0; i < height; i++) {
            const float *upper = x + (p * h + rows.first[i]) * w, *lower = x + (p * h + rows.second[i]) * w;
            float v = rows.weight[i];
            for (long j = 0; j < width; j++) {
                long a = columns.first[j], b = columns.second[j];
                float u = columns.weight[j];
                out[(p * height + i) * width + j] =
                    (1 - v) * ((1 - u) * upper[a] + u * upper[b]) + v * ((1 - u) * lower[a] + u * lower[b]);
            }
        }
}

inline void resize_gradient(
    const float* gradient, float* dx, long planes, long h, long w, long height, long width, bool bilinear, bool corners
) {
    Side rows(h, height, bilinear, corners), columns(w, width, bilinear, corners);
    #pragma omp parallel for schedule(static)
    for (long p = 0; p < planes; p++) {
        std::fill_n(dx + p * h * w, h * w, 0.0f);
        for (long i = 0; i < height; i++) {
            float *upper = dx + (p * h + rows.first[i]) * w, *lower = dx + (p * h + rows.second[i]) * w;
            float v = rows.weight[i];
            for (long j = 0; j < width; j++) {
                long a = columns.first[j], b = columns.second[j];
                float u = columns.weight[j], g = gradient[(p * height + i) * width + j];
                upper[a] += (1 - v) * (1 - u) * g;
                upper[b] += (1 - v) * u * g;
                lower[a] += v * (1 - u) * g;
                lower[b] += v * u * g;
            }
        }
    }
}

// Batch norm of x (n, channels, area) by the statistics of the batch, which go to `mean` and `variance` (biased).

}  // namespace code_ops
