/* Products of packed rows of bits, as words.py has them. Compiled by kernel.py. */

#include <stdint.h>

static inline int32_t product(const uint64_t *signs, const uint64_t *kept, const uint64_t *row,
                              const uint64_t *mask, int64_t counted, int64_t words)
{
    int64_t differ = 0;
    if (kept == 0) {
        for (int64_t j = 0; j < words; j++)
            differ += __builtin_popcountll((signs[j] ^ row[j]) & mask[j]);
        return (int32_t)(counted - 2 * differ);
    }
    counted = 0;
    for (int64_t j = 0; j < words; j++) {
        const uint64_t both = kept[j] & mask[j];
        counted += __builtin_popcountll(both);
        differ += __builtin_popcountll((signs[j] ^ row[j]) & both);
    }
    return (int32_t)(counted - 2 * differ);
}

static int64_t count(const uint64_t *mask, int64_t words)
{
    int64_t counted = 0;
    for (int64_t j = 0; j < words; j++)
        counted += __builtin_popcountll(mask[j]);
    return counted;
}

/* out[rows]: the products of all rows with one. `kept` may be null. */
void products(const uint64_t *signs, const uint64_t *kept, int64_t rows, int64_t words, const uint64_t *row,
              const uint64_t *mask, int32_t *out)
{
    const int64_t counted = count(mask, words);
    for (int64_t i = 0; i < rows; i++)
        out[i] = product(signs + i * words, kept ? kept + i * words : 0, row, mask, counted, words);
}

/* out[rows / 64 and up]: which products are at or above `least`, packed; to be zero before. */
void above(const uint64_t *signs, const uint64_t *kept, const int32_t *least, int64_t rows, int64_t words,
           const uint64_t *row, const uint64_t *mask, uint64_t *out)
{
    const int64_t counted = count(mask, words);
    for (int64_t i = 0; i < rows; i++) {
        const int32_t made = product(signs + i * words, kept ? kept + i * words : 0, row, mask, counted, words);
        out[i / 64] |= (uint64_t)(made >= least[i]) << (i % 64);
    }
}
