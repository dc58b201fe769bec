// The bodies of the code operators in _transformer_ops.py, which Jittor compiles once each.
//
// Every output element is summed by one thread in a fixed order: the same input gives the same bits.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace transformer_ops {

// Maps (images, height, width, channels), filled up to whole windows and rolled back by `shift`, as windows of
// `window` ** 2 tokens, row by row or column by column.
struct Windows {
    long images, height, width, channels, window, shift, by_columns;

    // Calls visit(token, pixel) for each token of all windows; pixel is negative where no pixel of the map is.
    template <class Visit>
    void each(Visit visit) const {
        const long rows = (height + window - 1) / window, columns = (width + window - 1) / window;
        #pragma omp parallel for schedule(static)
        for (long line = 0; line < images * rows * window; line++) {
            const long image = line / (rows * window), down = line % (rows * window);
            const long y = (down + shift) % (rows * window);
            for (long across = 0; across < columns * window; across++) {
                const long x = (across + shift) % (columns * window);
                const long in_row = down % window, in_column = across % window;
                const long first = ((image * rows + down / window) * columns + across / window) * window * window;
                const long token = first + (by_columns ? in_column * window + in_row : in_row * window + in_column);
                visit(token, y < height && x < width ? (image * height + y) * width + x : -1);
            }
        }
    }
};

// out (windows, tokens, channels), with zeros where the map has no pixel
inline void to_windows(const float* map, float* out, const Windows& shape) {
    const long channels = shape.channels;
    shape.each([=](long token, long pixel) {
        if (pixel < 0)
            std::fill_n(out + token * channels, channels, 0.0f);
        else
            std::copy_n(map + pixel * channels, channels, out + token * channels);
    });
}

inline void from_windows(const float* windows, float* out, const Windows& shape) {
    const long channels = shape.channels;
    shape.each([=](long token, long pixel) {
        if (pixel >= 0) std::copy_n(windows + token * channels, channels, out + pixel * channels);
    });
}

// Small matrix products, whose rows are padded to whole vectors.

typedef float Vector __attribute__((vector_size(32), aligned(4), may_alias));
const long LANES = 8;

inline long padded(long n) { return (n + LANES - 1) / LANES * LANES; }

// Element (i, j) is at[i * down + j * across].
struct Matrix {
    const float* at;
    long down, across;
};

// ROWS rows of c, and of those VECTORS vectors: c = a b; b and c have `stride` columns
template <int ROWS, int VECTORS>
inline void multiply_tile(const Matrix& a, const float* b, float* c, long inner, long stride) {
    Vector sums[ROWS][VECTORS] = {};
    for (long k = 0; k < inner; k++)
        for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < VECTORS; v++)
                sums[r][v] += a.at[r * a.down + k * a.across] * *(const Vector*)(b + k * stride + v * LANES);
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECTORS; v++) *(Vector*)(c + r * stride + v * LANES) = sums[r][v];
}

template <int ROWS>
inline void multiply_rows(const Matrix& a, const float* b, float* c, long inner, long stride) {
    long j = 0;
    for (; j + 2 * LANES <= stride; j += 2 * LANES) multiply_tile<ROWS, 2>(a, b + j, c + j, inner, stride);
    if (j < stride) multiply_tile<ROWS, 1>(a, b + j, c + j, inner, stride);
}

// c (rows, stride) = a (rows, inner) b (inner, stride)
inline void multiply(Matrix a, const float* b, float* c, long rows, long inner, long stride) {
    for (; rows >= 4; rows -= 4, a.at += 4 * a.down, c += 4 * stride) multiply_rows<4>(a, b, c, inner, stride);
    for (; rows > 0; rows--, a.at += a.down, c += stride) multiply_rows<1>(a, b, c, inner, stride);
}

// Attention: qkv (windows, tokens, 3, heads, size), bias (heads, tokens, tokens), masks (kinds, tokens, tokens),
// kinds (windows,); a token's weights are the softmax of q k / sqrt(size) + bias + mask, the output (windows, tokens,
// heads, size).
struct Attention {
    long windows, tokens, heads, size;

    long channels() const { return heads * size; }
    long token_stride() const { return padded(tokens); }
    long size_stride() const { return padded(size); }
    float scale() const { return 1 / std::sqrt(float(size)); }

    // part: 0, 1, 2 for q, k, v
    long in_qkv(long window, long head, long part) const {
        return (window * tokens * 3 + part) * channels() + head * size;
    }

    // to (tokens, size_stride), or, transposed, (size, token_stride)
    void gather(const float* from, long stride, float* to, bool transposed) const {
        for (long t = 0; t < tokens; t++)
            for (long s = 0; s < size; s++)
                to[transposed ? s * token_stride() + t : t * size_stride() + s] = from[t * stride + s];
    }

    void scatter(const float* from, float* to, long stride, float factor) const {
        for (long t = 0; t < tokens; t++)
            for (long s = 0; s < size; s++) to[t * stride + s] = factor * from[t * size_stride() + s];
    }

    // weights (tokens, token_stride) of q (tokens, size_stride) on keys (size, token_stride)
    void weigh(const float* q, const float* keys, const float* bias, const float* mask, float* weights) const {
        multiply({q, size_stride(), 1}, keys, weights, tokens, size, token_stride());
        const float factor = scale();
        for (long i = 0; i < tokens; i++) {
            float *row = weights + i * token_stride(), largest = -std::numeric_limits<float>::max(), total = 0;
            const float *by_place = bias + i * tokens, *by_kind = mask + i * tokens;
            for (long j = 0; j < tokens; j++) {
                row[j] = row[j] * factor + by_place[j] + by_kind[j];
                largest = std::max(largest, row[j]);
            }
            for (long j = 0; j < tokens; j++) total += row[j] = std::exp(row[j] - largest);
            const float share = 1 / total;
            for (long j = 0; j < tokens; j++) row[j] *= share;
        }
    }
};

inline void attend(const float* qkv, const float* bias, const float* masks, const int32_t* kinds, float* out,
                   const Attention& shape) {
    const long tokens = shape.tokens, channels = shape.channels(), pairs = tokens * tokens;
    #pragma omp parallel
    {
        std::vector<float> q(tokens * shape.size_stride()), v(q.size()), sums(q.size());
        std::vector<float> keys(shape.size * shape.token_stride()), weights(tokens * shape.token_stride());
        #pragma omp for schedule(static)
        for (long each = 0; each < shape.windows * shape.heads; each++) {
            const long window = each / shape.heads, head = each % shape.heads;
            shape.gather(qkv + shape.in_qkv(window, head, 0), 3 * channels, q.data(), false);
            shape.gather(qkv + shape.in_qkv(window, head, 1), 3 * channels, keys.data(), true);
            shape.gather(qkv + shape.in_qkv(window, head, 2), 3 * channels, v.data(), false);
            shape.weigh(q.data(), keys.data(), bias + head * pairs, masks + kinds[window] * pairs, weights.data());
            const Matrix by_query{weights.data(), shape.token_stride(), 1};
            multiply(by_query, v.data(), sums.data(), tokens, tokens, shape.size_stride());
            shape.scatter(sums.data(), out + window * tokens * channels + head * shape.size, channels, 1);
        }
    }
}

// The weights are computed anew. The bias's gradient is summed over GROUP windows at a time, and then over these sums.
const long GROUP = 64;

inline void attend_gradient(const float* qkv, const float* bias, const float* masks, const int32_t* kinds,
                            const float* gradient, float* d_qkv, float* d_bias, const Attention& shape) {
    const long tokens = shape.tokens, channels = shape.channels(), pairs = tokens * tokens;
    const long groups = (shape.windows + GROUP - 1) / GROUP, by_token = shape.token_stride();
    std::vector<float> partial(groups * shape.heads * pairs);
    #pragma omp parallel
    {
        std::vector<float> q(tokens * shape.size_stride()), k(q.size()), d_out(q.size()), product(q.size());
        std::vector<float> keys(shape.size * by_token), values(keys.size());
        std::vector<float> weights(tokens * by_token), d_weights(weights.size());
        #pragma omp for schedule(static)
        for (long each = 0; each < groups * shape.heads; each++) {
            const long group = each / shape.heads, head = each % shape.heads;
            float* d_pairs = partial.data() + each * pairs;
            for (long window = group * GROUP; window < std::min((group + 1) * GROUP, shape.windows); window++) {
                const long at_q = shape.in_qkv(window, head, 0), at_k = shape.in_qkv(window, head, 1);
                const long at_v = shape.in_qkv(window, head, 2);
                shape.gather(qkv + at_q, 3 * channels, q.data(), false);
                shape.gather(qkv + at_k, 3 * channels, k.data(), false);
                shape.gather(qkv + at_k, 3 * channels, keys.data(), true);
                shape.gather(qkv + at_v, 3 * channels, values.data(), true);
                const float* from = gradient + window * tokens * channels + head * shape.size;
                shape.gather(from, channels, d_out.data(), false);
                shape.weigh(q.data(), keys.data(), bias + head * pairs, masks + kinds[window] * pairs, weights.data());

                const Matrix by_key{weights.data(), 1, by_token};
                multiply(by_key, d_out.data(), product.data(), tokens, tokens, shape.size_stride());
                shape.scatter(product.data(), d_qkv + at_v, 3 * channels, 1);

                const Matrix outputs{d_out.data(), shape.size_stride(), 1};
                multiply(outputs, values.data(), d_weights.data(), tokens, shape.size, by_token);
                for (long i = 0; i < tokens; i++) {
                    float *d_row = d_weights.data() + i * by_token, *d_pair = d_pairs + i * tokens, total = 0;
                    const float* row = weights.data() + i * by_token;
                    for (long j = 0; j < tokens; j++) total += d_row[j] * row[j];
                    for (long j = 0; j < tokens; j++) {
                        d_row[j] = row[j] * (d_row[j] - total);
                        d_pair[j] += d_row[j];
                    }
                }
                const Matrix d_by_query{d_weights.data(), by_token, 1}, d_by_key{d_weights.data(), 1, by_token};
                multiply(d_by_query, k.data(), product.data(), tokens, tokens, shape.size_stride());
                shape.scatter(product.data(), d_qkv + at_q, 3 * channels, shape.scale());
                multiply(d_by_key, q.data(), product.data(), tokens, tokens, shape.size_stride());
                shape.scatter(product.data(), d_qkv + at_k, 3 * channels, shape.scale());
            }
        }
    }
    std::fill_n(d_bias, shape.heads * pairs, 0.0f);
    for (long group = 0; group < groups; group++)
        for (long i = 0; i < shape.heads * pairs; i++) d_bias[i] += partial[group * shape.heads * pairs + i];
}

// Layer norm of x (rows, n)

struct Moments {
    float mean, inverse;  // 1 / the deviation

    Moments(const float* x, long n, float eps) : mean(0), inverse(0) {
        float sum = 0, squares = 0;
        for (long i = 0; i < n; i++) sum += x[i];
        mean = sum / n;
        for (long i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
        inverse = 1 / std::sqrt(squares / n + eps);
    }
};

inline void layer_norm(const float* x, const float* weight, const float* bias, float* out, long rows, long n,
                       float eps) {
    #pragma omp parallel for schedule(static)
    for (long row = 0; row < rows; row++) {
        const float* from = x + row * n;
        float* to = out + row * n;
        const Moments moments(from, n, eps);
        for (long i = 0; i < n; i++) to[i] = (from[i] - moments.mean) * moments.inverse * weight[i] + bias[i];
    }
}

// The gradients of weight and bias are summed over STRIP rows at a time, and then over these sums.
const long STRIP = 256;

inline void layer_norm_gradient(const float* gradient, const float* x, const float* weight, float* dx, float* d_weight,
                                float* d_bias, long rows, long n, float eps) {
    const long strips = (rows + STRIP - 1) / STRIP;
    std::vector<float> partial(strips * 2 * n);
    #pragma omp parallel for schedule(static)
    for (long strip = 0; strip < strips; strip++) {
        float *by_weight = partial.data() + strip * 2 * n, *by_bias = by_weight + n;
        for (long row = strip * STRIP; row < std::min((strip + 1) * STRIP, rows); row++) {
            const float *from = x + row * n, *g = gradient + row * n;
            float *to = dx + row * n, sum = 0, products = 0;
            const Moments moments(from, n, eps);
            for (long i = 0; i < n; i++) {
                const float normed = (from[i] - moments.mean) * moments.inverse, own = g[i] * weight[i];
                sum += own;
                products += own * normed;
                by_weight[i] += g[i] * normed;
                by_bias[i] += g[i];
            }
            const float mean = sum / n, slope = products / n;
            for (long i = 0; i < n; i++) {
                const float normed = (from[i] - moments.mean) * moments.inverse;
                to[i] = (g[i] * weight[i] - mean - normed * slope) * moments.inverse;
            }
        }
    }
    std::fill_n(d_weight, n, 0.0f);
    std::fill_n(d_bias, n, 0.0f);
    for (long strip = 0; strip < strips; strip++)
        for (long i = 0; i < n; i++) {
            d_weight[i] += partial[strip * 2 * n + i];
            d_bias[i] += partial[(strip * 2 + 1) * n + i];
        }
}

// The error function to a few units of float32's last place; the compiler has no vectors for the standard one.
inline float error_function(float x) {
    x = std::min(std::max(x, -4.0f), 4.0f);
    const float square = x * x;
    float above = -2.72614225801306e-10f, below = -1.45660718464996e-05f;
    for (float each : {2.77068142495902e-08f, -2.10102402082508e-06f, -5.69250639462346e-05f, -7.34990630326855e-04f,
                       -2.95459980854025e-03f, -1.60960333262415e-02f})
        above = above * square + each;
    for (float each : {-2.13374055278905e-04f, -1.68282697438203e-03f, -7.37332916720468e-03f, -1.42647390514189e-02f})
        below = below * square + each;
    return x * above / below;
}

const float ROOT_OF_HALF = 0.70710678f, DENSITY_AT_0 = 0.39894228f;  // of the normal distribution

inline void gelu(const float* x, float* out, long n) {
    #pragma omp parallel for simd schedule(static)
    for (long i = 0; i < n; i++) out[i] = 0.5f * x[i] * (1 + error_function(x[i] * ROOT_OF_HALF));
}

inline void gelu_gradient(const float* gradient, const float* x, float* dx, long n) {
    #pragma omp parallel for simd schedule(static)
    for (long i = 0; i < n; i++) {
        const float below = 0.5f + 0.5f * error_function(x[i] * ROOT_OF_HALF);
        dx[i] = gradient[i] * (below + x[i] * DENSITY_AT_0 * std::exp(-0.5f * x[i] * x[i]));
    }
}

}  // namespace transformer_ops
