/* Kernels of DEMUCS' training on CPUs: what lies between the products of its blocks, in bfloat16 with sums in
   float32, and recurrences in float32.

   A frame is a number of rows with one mask [part]; each part of the units is kept or left out as one. */

/* kept [units] is the mask of a frame [part] for each unit; a part ends before the unit ends[part]. */
static inline void spread(const float *mask, const int64_t *ends, int64_t parts, float *kept) {
    for (int64_t part = 0, i = 0; part < parts; part++)
        for (; i < ends[part]; i++) kept[i] = mask[part];
}

/* The gradient of `spread`. */
static inline void gather(const float *dkept, const int64_t *ends, int64_t parts, float *dmask) {
    for (int64_t part = 0, i = 0; part < parts; part++) {
        float sum = 0;
        for (; i < ends[part]; i++) sum += dkept[i];
        dmask[part] = sum;
    }
}

/* h [row, unit] becomes max(h + bias, 0), and masked [row, unit] that times the mask. */
void relu_mask(bf16 *h, const float *bias, const float *mask, const int64_t *ends, float *kept, bf16 *masked,
               int64_t frames, int64_t rows, int64_t units, int64_t parts) {
    for (int64_t row = 0; row < frames * rows; row++) {
        if (row % rows == 0) spread(mask + row / rows * parts, ends, parts, kept);
        bf16 *to = h + row * units, *product = masked + row * units;
#pragma omp simd
        for (int64_t i = 0; i < units; i++) {
            float value = fmaxf(wide(to[i]) + bias[i], 0.0f);
            to[i] = narrow(value);
            product[i] = narrow(value * kept[i]);
        }
    }
}

/* The gradient dh [row, unit] of the masked values becomes that before bias and ReLU; sum that of the bias, and
   write that of the mask. kept is [2, unit]. */
void relu_mask_backward(bf16 *dh, const bf16 *h, const float *mask, const int64_t *ends, float *kept, float *dbias,
                        float *dmask, int64_t frames, int64_t rows, int64_t units, int64_t parts) {
    float *dkept = kept + units;
    for (int64_t row = 0; row < frames * rows; row++) {
        if (row % rows == 0) {
            spread(mask + row / rows * parts, ends, parts, kept);
            memset(dkept, 0, units * sizeof(float));
        }
        bf16 *slopes = dh + row * units;
        const bf16 *values = h + row * units;
#pragma omp simd
        for (int64_t i = 0; i < units; i++) {
            float slope = wide(slopes[i]), value = wide(values[i]);
            dkept[i] += slope * value;
            slope = value > 0 ? slope * kept[i] : 0.0f;
            dbias[i] += slope;
            slopes[i] = narrow(slope);
        }
        if (row % rows == rows - 1) gather(dkept, ends, parts, dmask + row / rows * parts);
    }
}

/* y [row, unit] = value * sigmoid(gate) of both [row, 2, unit] after their bias [2, unit], times the mask if it
   has parts. */
void gate(const bf16 *both, const float *bias, const float *mask, const int64_t *ends, float *kept, bf16 *y,
          int64_t frames, int64_t rows, int64_t units, int64_t parts) {
    for (int64_t i = 0; i < units; i++) kept[i] = 1.0f;
    for (int64_t row = 0; row < frames * rows; row++) {
        if (row % rows == 0) spread(mask + row / rows * parts, ends, parts, kept);
        const bf16 *value = both + row * 2 * units, *gates = value + units;
        bf16 *to = y + row * units;
#pragma omp simd
        for (int64_t i = 0; i < units; i++)
            to[i] = narrow((wide(value[i]) + bias[i]) * sigmoid(wide(gates[i]) + bias[units + i]) * kept[i]);
    }
}

/* Gradients dboth [row, 2, unit] of `gate` from dy [row, unit]; sum that of the bias, and write that of the mask.
   kept is [2, unit]. */
void gate_backward(const bf16 *both, const float *bias, const float *mask, const int64_t *ends, float *kept,
                   const bf16 *dy, bf16 *dboth, float *dbias, float *dmask, int64_t frames, int64_t rows,
                   int64_t units, int64_t parts) {
    float *dkept = kept + units;
    for (int64_t i = 0; i < units; i++) kept[i] = 1.0f;
    for (int64_t row = 0; row < frames * rows; row++) {
        if (row % rows == 0) {
            spread(mask + row / rows * parts, ends, parts, kept);
            memset(dkept, 0, units * sizeof(float));
        }
        const bf16 *value = both + row * 2 * units, *gates = value + units, *from = dy + row * units;
        bf16 *dvalue = dboth + row * 2 * units, *dgates = dvalue + units;
#pragma omp simd
        for (int64_t i = 0; i < units; i++) {
            float v = wide(value[i]) + bias[i], s = sigmoid(wide(gates[i]) + bias[units + i]), slope = wide(from[i]);
            dkept[i] += slope * v * s;
            slope *= kept[i];
            float of_value = slope * s, of_gate = slope * v * s * (1.0f - s);
            dbias[i] += of_value;
            dbias[units + i] += of_gate;
            dvalue[i] = narrow(of_value);
            dgates[i] = narrow(of_gate);
        }
        if (row % rows == rows - 1) gather(dkept, ends, parts, dmask + row / rows * parts);
    }
}

/* Add the second half of each frame of halves [row, frame, 2, value] to the first half of the next one, and a
   bias [value]; `tail` [row, value] is the second half before the first frame. y [row, frame, value] has a
   ReLU where `relu`. */
void overlap(const bf16 *halves, const float *bias, const bf16 *tail, bf16 *y, int64_t rows, int64_t frames,
             int64_t values, int64_t relu) {
    float least = relu ? 0.0f : -FLT_MAX;
    for (int64_t at = 0; at < rows * frames; at++) {
        const bf16 *now = halves + at * 2 * values;
        const bf16 *late = at % frames ? now - values : tail + at / frames * values;
        bf16 *to = y + at * values;
#pragma omp simd
        for (int64_t i = 0; i < values; i++) to[i] = narrow(fmaxf(wide(now[i]) + wide(late[i]) + bias[i], least));
    }
}

/* Gradients of `overlap` from dy and that of the last second half, dlast [row, value]; sum that of the bias. */
void overlap_backward(const bf16 *dy, const bf16 *y, const bf16 *dlast, bf16 *dhalves, bf16 *dtail, float *dbias,
                      int64_t rows, int64_t frames, int64_t values, int64_t relu) {
    for (int64_t at = 0; at < rows * frames; at++) {
        const bf16 *from = dy + at * values, *made = y + at * values;
        bf16 *now = dhalves + at * 2 * values;
        bf16 *late = at % frames ? now - values : dtail + at / frames * values;
#pragma omp simd
        for (int64_t i = 0; i < values; i++) {
            bf16 slope = relu && !(wide(made[i]) > 0) ? 0 : from[i];
            dbias[i] += wide(slope);
            now[i] = slope;
            late[i] = slope;
        }
        if (at % frames == frames - 1) memcpy(now + values, dlast + at / frames * values, values * sizeof(bf16));
    }
}

#define AT_ONCE 4 /* rows of a recurrence, which share each load of a weight */

/* products [AT_ONCE, width] += the rows' values [count] times weight [count, width] */
static inline void multiply(float *products, const float *const *rows, const float *weight, int64_t count, int64_t width) {
    float *first = products, *second = first + width, *third = second + width, *fourth = third + width;
    for (int64_t k = 0; k < count; k++) {
        float a = rows[0][k], b = rows[1][k], c = rows[2][k], d = rows[3][k];
        const float *line = weight + k * width;
#pragma omp simd
        for (int64_t i = 0; i < width; i++) {
            first[i] += a * line[i];
            second[i] += b * line[i];
            third[i] += c * line[i];
            fourth[i] += d * line[i];
        }
    }
}

/* GRUs side by side, over all steps, with the gates of PyTorch (reset, update, new).

   gates [group, row, step, 3, unit] hold the products with the input; they become the gates after their
   functions. weight [group, unit, 3, unit] and bias [group, 3, unit] are the state's. states
   [group, row, step + 1, unit] begin with the state before the first step. `recurrent`
   [group, row, step, unit] keeps what the reset gate acts on, `products` is [AT_ONCE, 3, unit]. */
void gru_forward(float *gates, const float *weight, const float *bias, float *states, float *recurrent, float *products,
                 int64_t groups, int64_t rows, int64_t steps, int64_t units) {
    int64_t width = 3 * units;
    for (int64_t group = 0; group < groups; group++)
        for (int64_t start = 0; start < rows; start += AT_ONCE)
            for (int64_t step = 0; step < steps; step++) {
                const float *before[AT_ONCE];
                for (int64_t j = 0; j < AT_ONCE; j++) {
                    int64_t row = group * rows + (start + j < rows ? start + j : rows - 1);
                    before[j] = states + (row * (steps + 1) + step) * units;
                    memcpy(products + j * width, bias + group * width, width * sizeof(float));
                }
                multiply(products, before, weight + group * units * width, units, width);
                for (int64_t j = 0; j < AT_ONCE && start + j < rows; j++) {
                    int64_t place = (group * rows + start + j) * steps + step;
                    float *reset = gates + place * width, *update = reset + units, *new = update + units;
                    const float *product = products + j * width, *h = before[j];
                    float *after = (float *)h + units, *kept = recurrent + place * units;
#pragma omp simd
                    for (int64_t i = 0; i < units; i++) {
                        float r = sigmoid(reset[i] + product[i]), u = sigmoid(update[i] + product[units + i]);
                        float part = product[2 * units + i], n = hyperbolic_tangent(new[i] + r * part);
                        reset[i] = r;
                        update[i] = u;
                        new[i] = n;
                        kept[i] = part;
                        after[i] = n + u * (h[i] - n);
                    }
                }
            }
}

/* Gradients of `gru_forward`. turned [group, 3, unit, unit] is the weight with its last axes first; dstates
   [group, row, step, unit] are the gradients of the states after each step. dgates and dproducts
   [group, row, step, 3, unit] become those of the products with input and state. carried [group, row, unit]
   holds zeros and becomes that of the state before the first step; sums is [AT_ONCE, unit]. */
void gru_backward(const float *gates, const float *turned, const float *states, const float *recurrent,
                  const float *dstates, float *dgates, float *dproducts, float *carried, float *sums, int64_t groups,
                  int64_t rows, int64_t steps, int64_t units) {
    int64_t width = 3 * units;
    for (int64_t group = 0; group < groups; group++)
        for (int64_t start = 0; start < rows; start += AT_ONCE)
            for (int64_t step = steps - 1; step >= 0; step--) {
                const float *slopes[AT_ONCE];
                for (int64_t j = 0; j < AT_ONCE; j++) {
                    int64_t row = group * rows + (start + j < rows ? start + j : rows - 1), place = row * steps + step;
                    const float *reset = gates + place * width, *update = reset + units, *new = update + units;
                    const float *h = states + (row * (steps + 1) + step) * units, *part = recurrent + place * units;
                    const float *slope = dstates + place * units, *carry = carried + row * units;
                    float *dgate = dgates + place * width, *dproduct = dproducts + place * width, *sum = sums + j * units;
                    slopes[j] = dproduct;
#pragma omp simd
                    for (int64_t i = 0; i < units; i++) {
                        float r = reset[i], u = update[i], n = new[i], total = slope[i] + carry[i];
                        float of_new = total * (1.0f - u) * (1.0f - n * n);
                        float of_reset = of_new * part[i] * r * (1.0f - r), of_update = total * (h[i] - n) * u * (1.0f - u);
                        dgate[i] = dproduct[i] = of_reset;
                        dgate[units + i] = dproduct[units + i] = of_update;
                        dgate[2 * units + i] = of_new;
                        dproduct[2 * units + i] = of_new * r;
                        sum[i] = total * u;
                    }
                }
                multiply(sums, slopes, turned + group * width * units, width, units);
                for (int64_t j = 0; j < AT_ONCE && start + j < rows; j++)
                    memcpy(carried + (group * rows + start + j) * units, sums + j * units, units * sizeof(float));
            }
}
