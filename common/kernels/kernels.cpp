// The kernels with C linkage, twice: for ctypes (triseg_NAME), and as MindSpore calls ahead-of-time custom operators
// (triseg_NAME_aot: the inputs, then the outputs, with their shapes; settings travel in a small input).
//
// shape is RoiAlignShape, DeformShape, GridShape or MsDeformShape (without its sides), field after field. All arrays are
// contiguous; float32 unless another type is said.
#include <cstdint>
#include <vector>

#include "batch_norm.h"
#include "deform_conv2d.h"
#include "grid_sample.h"
#include "ms_deform_attn.h"
#include "nms.h"
#include "roi_align.h"
#include "transformer.h"

#include "group_norm.h"
#include "masked_attention.h"
#include "optimizers.h"

using triseg::AttentionShape;
using triseg::BatchNormShape;
using triseg::DeformShape;
using triseg::GridShape;
using triseg::GroupNormShape;
using triseg::MsDeformShape;
using triseg::RoiAlignRule;
using triseg::RoiAlignShape;
using triseg::WindowShape;

namespace {

RoiAlignShape roi_align_shape(const int64_t* s) { return {s[0], s[1], s[2], s[3], s[4], s[5], s[6]}; }

DeformShape deform_shape(const int64_t* s) {
    return {s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9], s[10], s[11], s[12], s[13]};
}

template <class T = float>
T* array(void** params, int index) {
    return static_cast<T*>(params[index]);
}

// settings (3,) float32: scale, sampling_ratio, aligned
RoiAlignRule roi_align_rule(const float* settings) { return {settings[0], (int)settings[1], settings[2] != 0.0f}; }

RoiAlignShape roi_align_shape(const int64_t* features, const int64_t* bins) {
    return {bins[0], features[0], features[1], features[2], features[3], bins[2], bins[3]};
}

// settings (8,) int32: kernel height and width, stride y and x, padding y and x, dilation y and x
DeformShape deform_shape(const int64_t* x, const int64_t* offset, const int32_t* settings) {
    const int32_t* k = settings;
    return {x[0], x[1], x[2], x[3], k[0], k[1], k[2], k[3], k[4], k[5], k[6], k[7], offset[2], offset[3]};
}

BatchNormShape batch_norm_shape(const int64_t* x) { return {x[0], x[1], x[2] * x[3]}; }

// x (N, C, H, W); settings (2,) float32: eps, groups
GroupNormShape group_norm_shape(const int64_t* x, const float* settings) {
    return {x[0], x[1], int64_t(settings[1]), x[2] * x[3]};
}

int64_t product(const int64_t* shape, int dimensions) {
    int64_t count = 1;
    for (int axis = 0; axis < dimensions; ++axis) count *= shape[axis];
    return count;
}

WindowShape window_shape(const int64_t* qkv, const int64_t* bias) {
    return {qkv[0], qkv[1], bias[0], qkv[2] / bias[0] / 3};
}

AttentionShape attention_shape(const int64_t* q, const int64_t* k, const int32_t* settings) {
    return {q[0], q[1], k[1], settings[0], q[2] / settings[0]};
}

GridShape grid_shape(const int64_t* s) { return {s[0], s[1], s[2], s[3], s[4], s[5], s[6] != 0}; }

// settings (1,) int32: corners
GridShape grid_shape(const int64_t* x, const int64_t* grid, const int32_t* settings) {
    return {x[0], x[1], x[2], x[3], grid[0], grid[1] * grid[2], settings[0] != 0};
}

MsDeformShape ms_deform_shape(const int64_t* s, const int32_t* sides) {
    return {s[0], s[1], s[2], s[3], s[4], s[5], s[6], sides};
}

MsDeformShape ms_deform_shape(const int64_t* value, const int64_t* attention, const int32_t* sides) {
    return {value[0], value[1], value[2], value[3], attention[1], attention[3], attention[4], sides};
}

}  // namespace

extern "C" {

void triseg_roi_align(const float* features, const float* rois, const int64_t* shape, float scale, int sampling_ratio,
                      int aligned, float* output) {
    triseg::roi_align_forward(features, rois, roi_align_shape(shape), {scale, sampling_ratio, aligned != 0}, output);
}

void triseg_roi_align_grad(const float* grad_output, const float* rois, const int64_t* shape, float scale,
                           int sampling_ratio, int aligned, float* grad_features) {
    const RoiAlignRule rule{scale, sampling_ratio, aligned != 0};
    triseg::roi_align_backward(grad_output, rois, roi_align_shape(shape), rule, grad_features);
}

// classes (N,) int32 or null; keep (N,) int32
void triseg_nms(const float* boxes, const int32_t* classes, int64_t count, float threshold, float offset,
                int32_t* keep) {
    triseg::nms(boxes, classes, count, threshold, offset, keep);
}

// mask may be null
void triseg_deform_columns(const float* x, const float* offset, const float* mask, const int64_t* shape,
                           float* columns) {
    triseg::deform_columns(x, offset, mask, deform_shape(shape), columns);
}

void triseg_deform_columns_grad_input(const float* grad_columns, const float* offset, const float* mask,
                                      const int64_t* shape, float* grad_x) {
    triseg::deform_columns_grad_input(grad_columns, offset, mask, deform_shape(shape), grad_x);
}

// mask and grad_mask may be null
void triseg_deform_columns_grad_offset(const float* grad_columns, const float* x, const float* offset,
                                       const float* mask, const int64_t* shape, float* grad_offset, float* grad_mask) {
    triseg::deform_columns_grad_offset(grad_columns, x, offset, mask, deform_shape(shape), grad_offset, grad_mask);
}

void triseg_grid_sample(const float* x, const float* grid, const int64_t* shape, float* output) {
    triseg::grid_sample_forward(x, grid, grid_shape(shape), output);
}

void triseg_grid_sample_grad_input(const float* grad_output, const float* grid, const int64_t* shape, float* grad_x) {
    triseg::grid_sample_grad_input(grad_output, grid, grid_shape(shape), grad_x);
}

void triseg_grid_sample_grad_grid(const float* grad_output, const float* x, const float* grid, const int64_t* shape,
                                  float* grad_grid) {
    triseg::grid_sample_grad_grid(grad_output, x, grid, grid_shape(shape), grad_grid);
}

// sides (levels, 2) int32
void triseg_ms_deform_attn(const float* value, const float* locations, const float* attention, const int64_t* shape,
                           const int32_t* sides, float* output) {
    triseg::ms_deform_attn_forward(value, locations, attention, ms_deform_shape(shape, sides), output);
}

void triseg_ms_deform_attn_grad(const float* grad_output, const float* value, const float* locations,
                                const float* attention, const int64_t* shape, const int32_t* sides, float* grad_value,
                                float* grad_locations, float* grad_attention) {
    triseg::ms_deform_attn_backward(grad_output, value, locations, attention, ms_deform_shape(shape, sides), grad_value,
                                    grad_locations, grad_attention);
}

double triseg_sum_of_squares(const float* x, int64_t count) { return triseg::sum_of_squares(x, count); }

// rule: SgdRule or AdamRule, field after field
void triseg_sgd_step(float* parameter, const float* gradient, float* buffer, int64_t count, const float* rule) {
    triseg::sgd_step(parameter, gradient, buffer, count, {rule[0], rule[1], rule[2], rule[3]});
}

void triseg_adam_step(float* parameter, const float* gradient, float* mean, float* square, int64_t count,
                      const float* rule) {
    const float* r = rule;
    triseg::adam_step(parameter, gradient, mean, square, count,
                      {r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8]});
}

// features (N, C, H, W), rois (K, 5), settings -> (K, C, h, w)
int triseg_roi_align_aot(int, void** params, int*, int64_t** shapes, const char**, void*, void*) {
    const RoiAlignRule rule = roi_align_rule(array(params, 2));
    const RoiAlignShape shape = roi_align_shape(shapes[0], shapes[3]);
    triseg::roi_align_forward(array(params, 0), array(params, 1), shape, rule, array(params, 3));
    return 0;
}

// grad_output (K, C, h, w), rois (K, 5), settings, features (N, C, H, W; only its shape counts) -> (N, C, H, W)
int triseg_roi_align_grad_aot(int, void** params, int*, int64_t** shapes, const char**, void*, void*) {
    const RoiAlignRule rule = roi_align_rule(array(params, 2));
    const RoiAlignShape shape = roi_align_shape(shapes[3], shapes[0]);
    triseg::roi_align_backward(array(params, 0), array(params, 1), shape, rule, array(params, 4));
    return 0;
}

// boxes (N, 4), classes (N,) int32, settings (2,) float32: threshold, offset -> keep (N,) int32
int triseg_nms_aot(int, void** params, int*, int64_t** shapes, const char**, void*, void*) {
    const float* settings = array(params, 2);
    triseg::nms(array(params, 0), array<int32_t>(params, 1), shapes[0][0], settings[0], settings[1],
                array<int32_t>(params, 3));
    return 0;
}

// x (N, C, H, W), offset, mask, settings -> columns (N, C * taps, pixels)
int triseg_deform_columns_aot(int, void** params, int*, int64_t** shapes, const char**, void*, void*) {
    const DeformShape shape = deform_shape(shapes[0], shapes[1], array<int32_t>(params, 3));
    triseg::deform_columns(array(params, 0), array(params, 1), array(params, 2), shape, array(params, 4));
    return 0;
}

// grad_columns, offset, mask, settings, x (only its shape counts) -> grad_x
int triseg_deform_columns_grad_input_aot(int, void** params, int*, int64_t** shapes, const char**, void*, void*) {
    const DeformShape shape = deform_shape(shapes[4], shapes[1], array<int32_t>(params, 3));
    triseg::deform_columns_grad_input(array(params, 0), array(params, 1), array(params, 2), shape, array(params, 5));
    return 0;
}

// grad_columns, x, offset, mask, settings -> grad_offset, grad_mask
int triseg_deform_columns_grad_offset_aot(int, void** params, int*, int64_t** shapes, const char**, void*, void*) {
    const DeformShape shape = deform_shape(shapes[1], shapes[2], array<int32_t>(params, 4));
    triseg::deform_columns_grad_offset(array(params, 0), array(params, 1), array(params, 2), array(params, 3), shape,
                                       array(params, 5), array(params, 6));
    return 0;
}

// x (N or 1, C, H, W), grid (N, h, w, 2), settings -> (N, C, h, w)
int triseg_grid_sample_aot(int, void** params, int*, int64_t** shapes, const char**, void*, void*) {
    const GridShape shape = grid_shape(shapes[0], shapes[1], array<int32_t>(params, 2));
    triseg::grid_sample_forward(array(params, 0), array(params, 1), shape, array(params, 3));
    return 0;
}

// grad_output, grid, settings, x (only its shape counts) -> grad_x
int triseg_grid_sample_grad_input_aot(int, void** params, int*, int64_t** shapes, const char**, void*, void*) {
    const GridShape shape = grid_shape(shapes[3], shapes[1], array<int32_t>(params, 2));
    triseg::grid_sample_grad_input(array(params, 0), array(params, 1), shape, array(params, 4));
    return 0;
}

// grad_output, x, grid, settings -> grad_grid
int triseg_grid_sample_grad_grid_aot(int, void** params, int*, int64_t** shapes, const char**, void*, void*) {
    const GridShape shape = grid_shape(shapes[1], shapes[2], array<int32_t>(params, 3));
    triseg::grid_sample_grad_grid(array(params, 0), array(params, 1), array(params, 2), shape, array(params, 4));
    return 0;
}

// value (N, S, heads, D), locations, attention, sides (levels, 2) int32 -> (N, queries, heads * D)
int triseg_ms_deform_attn_aot(int, void** params, int*, int64_t** shapes, const char**, void*, void*) {
    const MsDeformShape shape = ms_deform_shape(shapes[0], shapes[2], array<int32_t>(params, 3));
    triseg::ms_deform_attn_forward(array(params, 0), array(params, 1), array(params, 2), shape, array(params, 4));
    return 0;
}

// grad_output, value, locations, attention, sides -> grad_value, grad_locations, grad_attention
int triseg_ms_deform_attn_grad_aot(int, void** params, int*, int64_t** shapes, const char**, void*, void*) {
    const MsDeformShape shape = ms_deform_shape(shapes[1], shapes[3], array<int32_t>(params, 4));
    triseg::ms_deform_attn_backward(array(params, 0), array(params, 1), array(params, 2), array(params, 3), shape,
                                    array(params, 5), array(params, 6), array(params, 7));
    return 0;
}

// x (N, C, H, W), weight, bias (C,), settings (1,) float32: eps -> output, mean, variance (C,)
int triseg_batch_norm_aot(int, void** params, int*, int64_t** shapes, const char**, void*, void*) {
    triseg::batch_norm_forward(array(params, 0), array(params, 1), array(params, 2), batch_norm_shape(shapes[0]),
                               array(params, 3)[0], array(params, 4), array(params, 5), array(params, 6));
    return 0;
}

// grad_output, x, weight, settings -> grad_x, grad_weight, grad_bias; the statistics are computed again
int triseg_batch_norm_grad_aot(int, void** params, int*, int64_t** shapes, const char**, void*, void*) {
    const BatchNormShape shape = batch_norm_shape(shapes[1]);
    std::vector<float> mean(shape.channels), variance(shape.channels);
    triseg::batch_norm_statistics(array(params, 1), shape, mean.data(), variance.data());
    triseg::batch_norm_backward(array(params, 0), array(params, 1), array(params, 2), mean.data(), variance.data(),
                                shape, array(params, 3)[0], array(params, 4), array(params, 5), array(params, 6));
    return 0;
}

// x (N, C, H, W), weight, bias (C,), settings (2,) float32: eps, groups -> output
int triseg_group_norm_aot(int, void** params, int*, int64_t** shapes, const char**, void*, void*) {
    const float* settings = array(params, 3);
    triseg::group_norm_forward(array(params, 0), array(params, 1), array(params, 2),
                               group_norm_shape(shapes[0], settings), settings[0], array(params, 4));
    return 0;
}

// grad_output, x, weight, settings -> grad_x, grad_weight, grad_bias
int triseg_group_norm_grad_aot(int, void** params, int*, int64_t** shapes, const char**, void*, void*) {
    const float* settings = array(params, 3);
    triseg::group_norm_backward(array(params, 0), array(params, 1), array(params, 2),
                                group_norm_shape(shapes[1], settings), settings[0], array(params, 4), array(params, 5),
                                array(params, 6));
    return 0;
}

// x -> output, both of any shape
int triseg_gelu_aot(int, void** params, int* dimensions, int64_t** shapes, const char**, void*, void*) {
    triseg::gelu_forward(array(params, 0), product(shapes[0], dimensions[0]), array(params, 1));
    return 0;
}

// grad_output, x -> grad_x
int triseg_gelu_grad_aot(int, void** params, int* dimensions, int64_t** shapes, const char**, void*, void*) {
    const int64_t count = product(shapes[1], dimensions[1]);
    triseg::gelu_backward(array(params, 0), array(params, 1), count, array(params, 2));
    return 0;
}

// x (..., C), weight, bias (C,), settings (1,) float32: eps -> output
int triseg_layer_norm_aot(int, void** params, int* dimensions, int64_t** shapes, const char**, void*, void*) {
    const int64_t rows = product(shapes[0], dimensions[0] - 1);
    triseg::layer_norm_forward(array(params, 0), array(params, 1), array(params, 2), rows, shapes[1][0],
                               array(params, 3)[0], array(params, 4));
    return 0;
}

// grad_output, x, weight, settings -> grad_x, grad_weight, grad_bias
int triseg_layer_norm_grad_aot(int, void** params, int* dimensions, int64_t** shapes, const char**, void*, void*) {
    const int64_t rows = product(shapes[1], dimensions[1] - 1);
    triseg::layer_norm_backward(array(params, 0), array(params, 1), array(params, 2), rows, shapes[2][0],
                                array(params, 3)[0], array(params, 4), array(params, 5), array(params, 6));
    return 0;
}

// qkv (B, T, 3 * C), bias (heads, T, T), masks (M, T, T), kinds (B,) int32 -> (B, T, C)
int triseg_window_attention_aot(int, void** params, int*, int64_t** shapes, const char**, void*, void*) {
    triseg::window_attention_forward(array(params, 0), array(params, 1), array(params, 2), array<int32_t>(params, 3),
                                     window_shape(shapes[0], shapes[1]), array(params, 4));
    return 0;
}

// grad_output, qkv, bias, masks, kinds -> grad_qkv, grad_bias
int triseg_window_attention_grad_aot(int, void** params, int*, int64_t** shapes, const char**, void*, void*) {
    triseg::window_attention_backward(array(params, 0), array(params, 1), array(params, 2), array(params, 3),
                                      array<int32_t>(params, 4), window_shape(shapes[1], shapes[2]), array(params, 5),
                                      array(params, 6));
    return 0;
}

// q (N, Q, C), k, v (N, T, C), hidden (N, Q, T) bool, settings (1,) int32: heads -> (N, Q, C)
int triseg_masked_attention_aot(int, void** params, int*, int64_t** shapes, const char**, void*, void*) {
    const AttentionShape shape = attention_shape(shapes[0], shapes[1], array<int32_t>(params, 4));
    triseg::masked_attention_forward(array(params, 0), array(params, 1), array(params, 2), array<uint8_t>(params, 3),
                                     shape, array(params, 5));
    return 0;
}

// grad_output, q, k, v, hidden, settings -> grad_q, grad_k, grad_v
int triseg_masked_attention_grad_aot(int, void** params, int*, int64_t** shapes, const char**, void*, void*) {
    const AttentionShape shape = attention_shape(shapes[1], shapes[2], array<int32_t>(params, 5));
    triseg::masked_attention_backward(array(params, 0), array(params, 1), array(params, 2), array(params, 3),
                                      array<uint8_t>(params, 4), shape, array(params, 6), array(params, 7),
                                      array(params, 8));
    return 0;
}

}  // extern "C"
