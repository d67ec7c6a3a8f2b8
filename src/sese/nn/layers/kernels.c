/* Kernels of the gated mixer's training on CPUs, in bfloat16 with sums in float32.

   Rows are frames by signals by bands. Sizes are in elements. */

#define LONGEST 1024 /* most channels or units of a row */

/* Normalise each row to mean 0 and variance 1, then scale and shift its channels.

   x [tile, band, channel]; y the same, or [tile, channel, band] where `turned`; mean and inverse deviation
   of each row are kept. */
void norm_forward(const bf16 *x, const float *gain, const float *shift, bf16 *y, float *means, float *inverses,
                  int64_t tiles, int64_t bands, int64_t channels, int64_t turned, float epsilon) {
    float row[LONGEST], tile[LONGEST * 64];
    for (int64_t at = 0; at < tiles; at++) {
        for (int64_t band = 0; band < bands; band++) {
            const bf16 *from = x + (at * bands + band) * channels;
            float sum = 0, squares = 0;
            for (int64_t i = 0; i < channels; i++) row[i] = wide(from[i]);
#pragma omp simd reduction(+ : sum)
            for (int64_t i = 0; i < channels; i++) sum += row[i];
            float mean = sum / channels;
#pragma omp simd reduction(+ : squares)
            for (int64_t i = 0; i < channels; i++) squares += (row[i] - mean) * (row[i] - mean);
            float inverse = 1.0f / sqrtf(squares / channels + epsilon);
            means[at * bands + band] = mean;
            inverses[at * bands + band] = inverse;
            if (!turned) {
                bf16 *to = y + (at * bands + band) * channels;
                for (int64_t i = 0; i < channels; i++)
                    to[i] = narrow((row[i] - mean) * inverse * gain[i] + shift[i]);
            } else {
                float *to = tile + band * channels;
                for (int64_t i = 0; i < channels; i++) to[i] = (row[i] - mean) * inverse * gain[i] + shift[i];
            }
        }
        if (turned) {
            bf16 *to = y + at * bands * channels;
            for (int64_t i = 0; i < channels; i++)
                for (int64_t band = 0; band < bands; band++)
                    to[i * bands + band] = narrow(tile[band * channels + i]);
        }
    }
}

/* Add the gradient of the norm's input to `to` [tile, band, channel], which holds that of the residual path;
   sum those of gain and shift [channel]. `dy` is laid out as y. */
void norm_backward(const bf16 *x, const float *gain, const float *means, const float *inverses, const bf16 *dy,
                   const bf16 *residual, bf16 *to, float *dgain, float *dshift, int64_t tiles, int64_t bands,
                   int64_t channels, int64_t turned) {
    float unit[LONGEST], slope[LONGEST], tile[LONGEST * 64];
    for (int64_t at = 0; at < tiles; at++) {
        if (turned) {
            const bf16 *from = dy + at * bands * channels;
            for (int64_t band = 0; band < bands; band++)
                for (int64_t i = 0; i < channels; i++)
                    tile[band * channels + i] = wide(from[i * bands + band]);
        }
        for (int64_t band = 0; band < bands; band++) {
            int64_t row = at * bands + band;
            const bf16 *from = x + row * channels, *above = residual + row * channels;
            float mean = means[row], inverse = inverses[row], sum = 0, product = 0;
            if (turned)
                for (int64_t i = 0; i < channels; i++) slope[i] = tile[band * channels + i];
            else
                for (int64_t i = 0; i < channels; i++) slope[i] = wide(dy[row * channels + i]);
#pragma omp simd reduction(+ : sum, product)
            for (int64_t i = 0; i < channels; i++) {
                unit[i] = (wide(from[i]) - mean) * inverse;
                dgain[i] += slope[i] * unit[i];
                dshift[i] += slope[i];
                slope[i] *= gain[i];
                sum += slope[i];
                product += slope[i] * unit[i];
            }
            sum /= channels;
            product /= channels;
            bf16 *out = to + row * channels;
            for (int64_t i = 0; i < channels; i++)
                out[i] = narrow(wide(above[i]) + inverse * (slope[i] - sum - unit[i] * product));
        }
    }
}

/* sum [tile, band, channel] = x [tile, band, channel] + turned [tile, channel, band] */
void add_turned(const bf16 *x, const bf16 *turned, bf16 *sum, int64_t tiles, int64_t bands, int64_t channels) {
    float tile[LONGEST * 64];
    for (int64_t at = 0; at < tiles; at++) {
        int64_t base = at * bands * channels;
        for (int64_t band = 0; band < bands; band++)
            for (int64_t i = 0; i < channels; i++) tile[band * channels + i] = wide(turned[base + i * bands + band]);
        for (int64_t i = 0; i < bands * channels; i++) sum[base + i] = narrow(wide(x[base + i]) + tile[i]);
    }
}

/* turned [tile, channel, band] of x [tile, band, channel] */
void turn(const bf16 *x, bf16 *turned, int64_t tiles, int64_t bands, int64_t channels) {
    for (int64_t at = 0; at < tiles; at++) {
        int64_t base = at * bands * channels;
        for (int64_t i = 0; i < channels; i++)
            for (int64_t band = 0; band < bands; band++)
                turned[base + i * bands + band] = x[base + band * channels + i];
    }
}

/* y [row, unit] becomes max(y + bias, 0) */
void shift_relu(bf16 *y, const float *bias, int64_t rows, int64_t units) {
    for (int64_t row = 0; row < rows; row++)
#pragma omp simd
        for (int64_t i = 0; i < units; i++)
            y[row * units + i] = narrow(fmaxf(wide(y[row * units + i]) + bias[i], 0.0f));
}

/* The gradient dy [row, unit] becomes 0 where y is; sum that of the bias. */
void shift_relu_backward(bf16 *dy, const bf16 *y, float *dbias, int64_t rows, int64_t units) {
    for (int64_t row = 0; row < rows; row++)
#pragma omp simd
        for (int64_t i = 0; i < units; i++) {
            float slope = wide(y[row * units + i]) > 0 ? wide(dy[row * units + i]) : 0.0f;
            dbias[i] += slope;
            dy[row * units + i] = narrow(slope);
        }
}

/* The gated recurrence of all steps.

   gates [step, row, 3, unit]: keep, value and gate before bias [3, unit] and functions; state [row, unit] before the first
   step, after the last on return; states [step + 1, row, unit] are kept for the way back; made [step, row, unit]. */
void recur_forward(const bf16 *gates, const float *bias, float *state, bf16 *states, bf16 *made, int64_t steps,
                   int64_t rows, int64_t units) {
    int64_t size = rows * units;
    for (int64_t i = 0; i < size; i++) states[i] = narrow(state[i]);
    for (int64_t step = 0; step < steps; step++) {
        for (int64_t row = 0; row < rows; row++) {
            const bf16 *keep = gates + (step * rows + row) * 3 * units, *value = keep + units, *gate = value + units;
            float *h = state + row * units;
            bf16 *kept = states + (step + 1) * size + row * units, *out = made + step * size + row * units;
#pragma omp simd
            for (int64_t i = 0; i < units; i++) {
                float a = sigmoid(wide(keep[i]) + bias[i]), v = wide(value[i]) + bias[units + i];
                float g = wide(gate[i]) + bias[2 * units + i];
                float now = v + a * (h[i] - v);
                h[i] = now;
                kept[i] = narrow(now);
                out[i] = narrow(now * g * sigmoid(g));
            }
        }
    }
}

/* Gradients of `gates`, summed for the bias, and of the state before the first step in `carried` [row, unit], which holds that of
   the state after the last. */
void recur_backward(const bf16 *gates, const float *bias, const bf16 *states, const bf16 *dmade, float *carried,
                    bf16 *dgates, float *dbias, int64_t steps, int64_t rows, int64_t units) {
    int64_t size = rows * units;
    for (int64_t step = steps - 1; step >= 0; step--) {
        for (int64_t row = 0; row < rows; row++) {
            int64_t place = (step * rows + row) * 3 * units;
            const bf16 *keep = gates + place, *value = keep + units, *gate = value + units;
            bf16 *dkeep = dgates + place, *dvalue = dkeep + units, *dgate = dvalue + units;
            const bf16 *before = states + step * size + row * units, *after = before + size;
            const bf16 *slope = dmade + step * size + row * units;
            float *carry = carried + row * units;
#pragma omp simd
            for (int64_t i = 0; i < units; i++) {
                float a = sigmoid(wide(keep[i]) + bias[i]), v = wide(value[i]) + bias[units + i];
                float g = wide(gate[i]) + bias[2 * units + i];
                float s = sigmoid(g), d = wide(slope[i]);
                float dh = carry[i] + d * g * s;
                float of_keep = dh * (wide(before[i]) - v) * a * (1.0f - a), of_value = dh * (1.0f - a);
                float of_gate = d * wide(after[i]) * s * (1.0f + g * (1.0f - s));
                dkeep[i] = narrow(of_keep);
                dvalue[i] = narrow(of_value);
                dgate[i] = narrow(of_gate);
                dbias[i] += of_keep;
                dbias[units + i] += of_value;
                dbias[2 * units + i] += of_gate;
                carry[i] = dh * a;
            }
        }
    }
}
