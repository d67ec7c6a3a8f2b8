/* Kernels of losses on spectra. Spectra are complex, (real, imaginary) side by side. */

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
   magnitudes of the target, and absolute differences of the logarithms of the magnitudes. A squared magnitude is
   at least `least`. */
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

/* scale times the sum over all bins of (1 - share) (|E|^c - |S|^c)^2 + share |E |E|^(c-1) - S |S|^(c-1)|^2, with
   c the exponent and `added` in each squared magnitude; the estimate's spectra E become its gradient. */
void compressed_distance(float *estimate, const float *target, double *sum, int64_t frames, int64_t bins, float added,
                         float exponent, float share, float scale) {
    float half = 0.5f * (exponent - 1.0f);
    *sum = 0;
    for (int64_t frame = 0; frame < frames; frame++) {
        float *made = estimate + frame * 2 * bins;
        const float *meant = target + frame * 2 * bins;
        float total = 0;
#pragma omp simd reduction(+ : total)
        for (int64_t i = 0; i < bins; i++) {
            float real = made[2 * i], imaginary = made[2 * i + 1];
            float power = real * real + imaginary * imaginary + added;
            float wanted = meant[2 * i] * meant[2 * i] + meant[2 * i + 1] * meant[2 * i + 1] + added;
            float small = exponential(half * logarithm(power)), small_wanted = exponential(half * logarithm(wanted));
            float size = sqrtf(power), error = small * size - small_wanted * sqrtf(wanted);
            float across = small * real - small_wanted * meant[2 * i];
            float along = small * imaginary - small_wanted * meant[2 * i + 1];
            total += (1.0f - share) * error * error + share * (across * across + along * along);
            float inner = share * (exponent - 1.0f) * (across * real + along * imaginary);
            float factor = small / power * ((1.0f - share) * exponent * error * size + inner);
            made[2 * i] = 2.0f * scale * (factor * real + share * small * across);
            made[2 * i + 1] = 2.0f * scale * (factor * imaginary + share * small * along);
        }
        *sum += total;
    }
    *sum *= scale;
}
