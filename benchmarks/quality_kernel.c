/* Convolution of binary maps by ands and counts of bits, with its pooling: what a compiler makes of
 * src/sese/predictor/packed.py. For benchmarks/quality_inference.py. */

#include <stdint.h>
#include <string.h>

enum { TAPS = 9, PLANES = 8, MOST_WORDS = 16, MOST_CHANNELS = 256 };

/* The 9 cells around (band, frame) of maps with `bytes` bytes a cell, zeros outside, as words. */
static void gather(const uint8_t *cells, int bands, int frames, int bytes, int band, int frame, uint64_t *words) {
    uint8_t *to = (uint8_t *)words;
    for (int b = band - 1; b <= band + 1; b++)
        for (int f = frame - 1; f <= frame + 1; f++, to += bytes) {
            if (b < 0 || b >= bands || f < 0 || f >= frames)
                memset(to, 0, bytes);
            else
                memcpy(to, cells + ((long)b * frames + f) * bytes, bytes);
        }
}

/* cells [band, frame, byte], planes [plane, word, channel], thresholds [channel] -> made, of half the bands and
 * frames, bytes = channels / 8. Channels are a multiple of 8. */
void convolve(const uint8_t *cells, int bands, int frames, int bytes, const uint64_t *planes, int word_count,
              const int32_t *thresholds, int channels, uint8_t *made) {
    uint64_t words[MOST_WORDS] = {0};
    int64_t sums[MOST_CHANNELS], ones[MOST_CHANNELS];
    uint8_t either[MOST_CHANNELS];
    for (int band = 0; band < bands / 2; band++)
        for (int frame = 0; frame < frames / 2; frame++) {
            memset(either, 0, channels);
            for (int cell = 0; cell < 4; cell++) {
                gather(cells, bands, frames, bytes, 2 * band + cell / 2, 2 * frame + cell % 2, words);
                memset(sums, 0, channels * sizeof *sums);
                for (int plane = 0; plane < PLANES; plane++) {
                    memset(ones, 0, channels * sizeof *ones);
                    for (int word = 0; word < word_count; word++) {
                        const uint64_t *weights = planes + ((long)plane * word_count + word) * channels;
                        const uint64_t here = words[word];
                        for (int c = 0; c < channels; c++) ones[c] += __builtin_popcountll(here & weights[c]);
                    }
                    const int64_t worth = plane == PLANES - 1 ? -(1 << plane) : 1 << plane; /* two's complement */
                    for (int c = 0; c < channels; c++) sums[c] += worth * ones[c];
                }
                for (int c = 0; c < channels; c++) either[c] |= sums[c] > thresholds[c];
            }
            uint8_t *to = made + ((long)band * (frames / 2) + frame) * (channels / 8);
            for (int c = 0; c < channels; c++)
                to[c / 8] = (uint8_t)((c % 8 ? to[c / 8] : 0) | either[c] << c % 8);
        }
}
