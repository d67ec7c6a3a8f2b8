/* Kernels of the multi-resolution STFT loss. Spectra are complex, (real, imaginary) side by side; a squared
   magnitude is at least `least`. */

/* log of positive values to 1e-7, in operations that every compiler turns into vectors */
static inline float logarithm(float x) {
    int32_t bits;
    memcpy(&bits, &x, 4);
    float whole = (float)((bits >> 23) - 127);
    bits = (bits & 0x7fffff) | 0x3f800000;
    float part;
    memcpy(&part, &bits, 4);
    int large = part > 1.41421356f;
    part = (large ? 0.5f * part : part) - 1.0f;
    whole += large ? 1.0f : 0.0f;
    float sum = 7.0376836e-2f;
    sum = sum * part - 1.1514610e-1f;
    sum = sum * part + 1.1676999e-1f;
    sum = sum * part - 1.2420141e-1f;
    sum = sum * part + 1.4249323e-1f;
    sum = sum * part - 1.6668058e-1f;
    sum = sum * part + 2.0000715e-1f;
    sum = sum * part - 2.4999994e-1f;
    sum = sum * part + 3.3333331e-1f;
    float square = part * part;
    return part + (sum * part * square - 0.5f * square - 2.12194440e-4f * whole) + 0.693359375f * whole;
}

/* Sums over all bins of estimate and target [frame, bin, 2]: squared differences of the magnitudes, squared
   magnitudes of the target, and absolute differences of the logarithms of the magnitudes. */
void spectral_distance(const float *estimate, const float *target, double *sums, int64_t frames, int64_t bins, float least) {
    sums[0] = sums[1] = sums[2] = 0;
    for (int64_t frame = 0; frame < frames; frame++) {
        const float *made = estimate + frame * 2 * bins, *meant = target + frame * 2 * bins;
        float errors = 0, powers = 0, logs = 0;
#pragma omp simd reduction(+ : errors, powers, logs)
        for (int64_t i = 0; i < bins; i++) {
            float power = fmaxf(made[2 * i] * made[2 * i] + made[2 * i + 1] * made[2 * i + 1], least);
            float wanted = fmaxf(meant[2 * i] * meant[2 * i] + meant[2 * i + 1] * meant[2 * i + 1], least);
            float error = sqrtf(wanted) - sqrtf(power);
            errors += error * error;
            powers += wanted;
            logs += fabsf(logarithm(wanted / power));
        }
        sums[0] += errors;
        sums[1] += powers;
        sums[2] += 0.5 * logs;
    }
}

/* The estimate's spectra become the gradient of scale / 2 times the first of these sums plus share times the
   third. */
void spectral_slope(float *estimate, const float *target, int64_t frames, int64_t bins, float least, float scale, float share) {
    for (int64_t frame = 0; frame < frames; frame++) {
        float *made = estimate + frame * 2 * bins;
        const float *meant = target + frame * 2 * bins;
#pragma omp simd
        for (int64_t i = 0; i < bins; i++) {
            float power = made[2 * i] * made[2 * i] + made[2 * i + 1] * made[2 * i + 1];
            float wanted = fmaxf(meant[2 * i] * meant[2 * i] + meant[2 * i + 1] * meant[2 * i + 1], least);
            float sign = (wanted > power ? 1.0f : 0.0f) - (wanted < power ? 1.0f : 0.0f);
            float slope = scale * (sqrtf(wanted * power) - power) + share * sign;
            slope = power < least ? 0.0f : -slope / power;
            made[2 * i] *= slope;
            made[2 * i + 1] *= slope;
        }
    }
}
