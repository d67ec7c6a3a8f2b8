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

/* A step of a GRU. row[inputs + units words] and mask: the input in front, the state behind it, which is
   overwritten by the next one. work[3 * units] is scratch; `units` in words. */
void recur(const uint64_t *gate_signs, const uint64_t *gate_kept, const int32_t *gate_least, int64_t gate_rows,
           int64_t words, const uint64_t *signs, const uint64_t *kept, const int32_t *least, int64_t rows,
           int64_t units, uint64_t *row, uint64_t *mask, uint64_t *work)
{
    uint64_t *reset = work, *update = work + units, *made = work + 2 * units;
    uint64_t *up = row + words - units, *updated = mask + words - units;
    for (int64_t j = 0; j < 3 * units; j++)
        work[j] = 0;
    above(gate_signs, gate_kept, gate_least, gate_rows, words, row, mask, work);
    for (int64_t j = 0; j < units; j++) {
        const uint64_t now = updated[j];
        updated[j] &= reset[j];
        reset[j] = now;
    }
    above(signs, kept, least, rows, words, row, mask, made);
    for (int64_t j = 0; j < units; j++) {
        up[j] ^= (up[j] ^ made[j]) & update[j];
        updated[j] = reset[j] | update[j];
    }
}
