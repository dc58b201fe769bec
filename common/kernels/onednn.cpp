// Convolutions and linear layers by oneDNN, in the form in which MindSpore calls ahead-of-time custom operators: the
// inputs, then the outputs, with their shapes. All arrays are float32 and contiguous, but for the settings.
//
// settings (4,) int32 of a convolution: stride, padding, dilation, groups; the same along both axes.
#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include <dnnl.hpp>

namespace {

using dnnl::memory;

const dnnl::engine& cpu() {
    static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    return engine;
}

struct Convolution {
    // x (N, C, H, W), weight (O, C / groups, kh, kw), y (N, O, h, w)
    Convolution(const int64_t* x, const int64_t* weight, const int64_t* y, const int32_t* settings)
        : x(x, x + 4),
          weight(weight, weight + 4),
          y(y, y + 4),
          stride(2, settings[0]),
          padding(2, settings[1]),
          dilation(2, settings[2] - 1),  // oneDNN counts what lies between two taps
          plain(weight[2] == 1 && weight[3] == 1 && settings[0] == 1 && settings[1] == 0) {
        if (const int64_t groups = settings[3]; groups > 1) {
            this->weight[0] /= groups;
            this->weight.insert(this->weight.begin(), groups);
        }
    }

    memory::desc given_x() const { return {x, memory::data_type::f32, memory::format_tag::nchw}; }
    memory::desc given_y() const { return {y, memory::data_type::f32, memory::format_tag::nchw}; }
    memory::desc given_weight() const {
        const bool grouped = weight.size() == 5;
        return {weight, memory::data_type::f32, grouped ? memory::format_tag::goihw : memory::format_tag::oihw};
    }

    // The layout is oneDNN's to choose, but for products of matrices: turning a map round takes longer than these.
    memory::desc wanted(const memory::desc& given) const {
        return plain ? given : memory::desc(given.dims(), given.data_type(), memory::format_tag::any);
    }

    dnnl::convolution_forward::primitive_desc forward(bool with_bias) const {
        using Forward = dnnl::convolution_forward;
        const memory::desc a = wanted(given_x()), w = wanted(given_weight()), b = wanted(given_y());
        const auto kind = dnnl::prop_kind::forward_training;
        const auto algorithm = dnnl::algorithm::convolution_direct;
        if (!with_bias) return {Forward::desc(kind, algorithm, a, w, b, stride, dilation, padding, padding), cpu()};
        return {Forward::desc(kind, algorithm, a, w, bias(), b, stride, dilation, padding, padding), cpu()};
    }

    dnnl::convolution_backward_data::primitive_desc backward_x() const {
        using Backward = dnnl::convolution_backward_data;
        const memory::desc a = wanted(given_x()), w = wanted(given_weight()), b = wanted(given_y());
        const auto algorithm = dnnl::algorithm::convolution_direct;
        return {Backward::desc(algorithm, a, w, b, stride, dilation, padding, padding), cpu(), forward(false)};
    }

    dnnl::convolution_backward_weights::primitive_desc backward_weight() const {
        using Backward = dnnl::convolution_backward_weights;
        const memory::desc a = wanted(given_x()), w = wanted(given_weight()), b = wanted(given_y());
        const auto algorithm = dnnl::algorithm::convolution_direct;
        return {Backward::desc(algorithm, a, w, bias(), b, stride, dilation, padding, padding), cpu(), forward(true)};
    }

    memory::desc bias() const { return {{y[1]}, memory::data_type::f32, memory::format_tag::x}; }

    std::vector<int64_t> key() const {
        std::vector<int64_t> numbers;
        for (const memory::dims& part : {x, weight, y, stride, padding, dilation}) {
            numbers.insert(numbers.end(), part.begin(), part.end());
        }
        return numbers;
    }

    memory::dims x, weight, y, stride, padding, dilation;
    bool plain;
};

// Keeps what `make` makes of a convolution: to choose an implementation takes oneDNN up to a millisecond.
template <class Description, class Make>
Description kept(const Convolution& convolution, Make make) {
    constexpr size_t most = 1024;  // training meets a new size in every step
    static std::mutex mutex;
    static std::map<std::vector<int64_t>, Description> made;
    const std::lock_guard<std::mutex> lock(mutex);
    const std::vector<int64_t> key = convolution.key();
    auto found = made.find(key);
    if (found == made.end()) {
        if (made.size() >= most) made.clear();
        found = made.emplace(key, make(convolution)).first;
    }
    return found->second;
}

memory wrap(const memory::desc& description, void* array) { return {description, cpu(), array}; }

// The array in the layout that an implementation wants: itself where it has it.
memory bring(dnnl::stream& stream, const memory& array, const memory::desc& wanted) {
    if (array.get_desc() == wanted) return array;
    memory other(wanted, cpu());
    dnnl::reorder(array, other).execute(stream, const_cast<memory&>(array), other);
    return other;
}

memory room_for(const memory& array, const memory::desc& wanted) {
    return array.get_desc() == wanted ? array : memory(wanted, cpu());
}

void take(dnnl::stream& stream, memory& result, memory& array) {
    if (result.get_desc() != array.get_desc()) dnnl::reorder(result, array).execute(stream, result, array);
    stream.wait();
}

// x, weight, bias (O,), settings -> y
void convolve(void** params, int64_t** shapes) {
    const Convolution convolution(shapes[0], shapes[1], shapes[4], static_cast<int32_t*>(params[3]));
    const auto chosen = kept<dnnl::convolution_forward::primitive_desc>(
        convolution, [](const Convolution& each) { return each.forward(true); });
    dnnl::stream stream(cpu());
    memory y = wrap(convolution.given_y(), params[4]), result = room_for(y, chosen.dst_desc());
    dnnl::convolution_forward(chosen).execute(
        stream, {{DNNL_ARG_SRC, bring(stream, wrap(convolution.given_x(), params[0]), chosen.src_desc())},
                 {DNNL_ARG_WEIGHTS, bring(stream, wrap(convolution.given_weight(), params[1]), chosen.weights_desc())},
                 {DNNL_ARG_BIAS, wrap(convolution.bias(), params[2])},
                 {DNNL_ARG_DST, result}});
    take(stream, result, y);
}

// the gradient of y, weight, settings, x (for its shape) -> the gradient of x
void convolve_grad_input(void** params, int64_t** shapes) {
    const Convolution convolution(shapes[3], shapes[1], shapes[0], static_cast<int32_t*>(params[2]));
    const auto chosen = kept<dnnl::convolution_backward_data::primitive_desc>(
        convolution, [](const Convolution& each) { return each.backward_x(); });
    dnnl::stream stream(cpu());
    memory x = wrap(convolution.given_x(), params[4]), result = room_for(x, chosen.diff_src_desc());
    dnnl::convolution_backward_data(chosen).execute(
        stream, {{DNNL_ARG_DIFF_DST, bring(stream, wrap(convolution.given_y(), params[0]), chosen.diff_dst_desc())},
                 {DNNL_ARG_WEIGHTS, bring(stream, wrap(convolution.given_weight(), params[1]), chosen.weights_desc())},
                 {DNNL_ARG_DIFF_SRC, result}});
    take(stream, result, x);
}

// the gradient of y, x, settings, weight (for its shape) -> the gradients of weight and bias
void convolve_grad_weight(void** params, int64_t** shapes) {
    const Convolution convolution(shapes[1], shapes[3], shapes[0], static_cast<int32_t*>(params[2]));
    const auto chosen = kept<dnnl::convolution_backward_weights::primitive_desc>(
        convolution, [](const Convolution& each) { return each.backward_weight(); });
    dnnl::stream stream(cpu());
    memory weight = wrap(convolution.given_weight(), params[4]), result = room_for(weight, chosen.diff_weights_desc());
    dnnl::convolution_backward_weights(chosen).execute(
        stream, {{DNNL_ARG_DIFF_DST, bring(stream, wrap(convolution.given_y(), params[0]), chosen.diff_dst_desc())},
                 {DNNL_ARG_SRC, bring(stream, wrap(convolution.given_x(), params[1]), chosen.src_desc())},
                 {DNNL_ARG_DIFF_WEIGHTS, result},
                 {DNNL_ARG_DIFF_BIAS, wrap(convolution.bias(), params[5])}});
    take(stream, result, weight);
}

// c (M, N) = a (M, K) b (K, N), where a letter is T of an array that is given the other way round
void multiply(char a_form, char b_form, int64_t m, int64_t n, int64_t k, const float* a, const float* b, float beta,
              float* c) {
    const auto done = dnnl::sgemm(a_form, b_form, m, n, k, 1.0f, a, a_form == 'T' ? m : k, b, b_form == 'T' ? k : n,
                                  beta, c, n);
    if (done != dnnl::status::success) throw dnnl::error(dnnl_runtime_error, "sgemm");
}

float* floats(void** params, int index) { return static_cast<float*>(params[index]); }

// x (M, K), weight (N, K), bias (N,) -> (M, N)
void linear(void** params, int64_t** shapes) {
    const int64_t rows = shapes[0][0], inputs = shapes[0][1], outputs = shapes[1][0];
    const float* bias = floats(params, 2);
    float* y = floats(params, 3);
    #pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; ++row) std::copy(bias, bias + outputs, y + row * outputs);
    multiply('N', 'T', rows, outputs, inputs, floats(params, 0), floats(params, 1), 1.0f, y);
}

// the gradient of y (M, N), weight (N, K) -> the gradient of x (M, K)
void linear_grad_input(void** params, int64_t** shapes) {
    const int64_t rows = shapes[0][0], outputs = shapes[0][1], inputs = shapes[1][1];
    multiply('N', 'N', rows, inputs, outputs, floats(params, 0), floats(params, 1), 0.0f, floats(params, 2));
}

// the gradient of y (M, N), x (M, K) -> the gradients of weight (N, K) and bias (N,)
void linear_grad_weight(void** params, int64_t** shapes) {
    const int64_t rows = shapes[0][0], outputs = shapes[0][1], inputs = shapes[1][1];
    const float* gradient = floats(params, 0);
    float* bias = floats(params, 3);
    multiply('T', 'N', outputs, inputs, rows, gradient, floats(params, 1), 0.0f, floats(params, 2));
    constexpr int64_t width = 64;  // of the columns that a thread adds up together
    #pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < outputs; first += width) {
        const int64_t count = std::min(width, outputs - first);
        double sums[width] = {};
        for (int64_t row = 0; row < rows; ++row) {
            for (int64_t i = 0; i < count; ++i) sums[i] += gradient[row * outputs + first + i];
        }
        for (int64_t i = 0; i < count; ++i) bias[first + i] = float(sums[i]);
    }
}

// 1 where oneDNN cannot, of which MindSpore makes an error.
int guarded(void (*kernel)(void**, int64_t**), void** params, int64_t** shapes) {
    try {
        kernel(params, shapes);
    } catch (const dnnl::error&) {
        return 1;
    }
    return 0;
}

}  // namespace

extern "C" {

int triseg_convolution_aot(int, void** params, int*, int64_t** shapes, const char**, void*, void*) {
    return guarded(convolve, params, shapes);
}

int triseg_convolution_grad_input_aot(int, void** params, int*, int64_t** shapes, const char**, void*, void*) {
    return guarded(convolve_grad_input, params, shapes);
}

int triseg_convolution_grad_weight_aot(int, void** params, int*, int64_t** shapes, const char**, void*, void*) {
    return guarded(convolve_grad_weight, params, shapes);
}

int triseg_linear_aot(int, void** params, int*, int64_t** shapes, const char**, void*, void*) {
    return guarded(linear, params, shapes);
}

int triseg_linear_grad_input_aot(int, void** params, int*, int64_t** shapes, const char**, void*, void*) {
    return guarded(linear_grad_input, params, shapes);
}

int triseg_linear_grad_weight_aot(int, void** params, int*, int64_t** shapes, const char**, void*, void*) {
    return guarded(linear_grad_weight, params, shapes);
}

}  // extern "C"
