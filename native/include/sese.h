/* Streaming speech enhancement: noisy samples in, enhanced samples out, as many, at a fixed delay.
 *
 *     sese_stream* stream = sese_open("model.onnx", 48000, 1);
 *     if (stream == NULL) fprintf(stderr, "%s\n", sese_error());
 *     sese_set_budget(stream, "0.3");
 *     while (read(block, count)) {
 *       sese_process(stream, block, block, count);
 *       play(block, count);
 *     }
 *     sese_close(stream);
 *
 * Functions that return int return 0, or -1 where they could not do it; sese_error() then says why.
 *
 * Any number of streams may run at a time, each used by one thread at a time. Streams of one file share the
 * opened model. sese_process allocates memory, inside ONNX Runtime: keep it out of audio callbacks, as the
 * plugin in ladspa/ does.
 */
#ifndef SESE_H
#define SESE_H

#include <stddef.h>

#if defined(_WIN32) && defined(SESE_BUILDING)
#define SESE_API __declspec(dllexport)
#elif defined(_WIN32)
#define SESE_API __declspec(dllimport)
#else
#define SESE_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* One signal on its way through a model. */
typedef struct sese_stream sese_stream;

/* Facts about the model of a stream. They last as long as the stream. */
typedef struct sese_facts {
  const char* name;
  int sample_rate;           /* Hz, the model's own; a stream may have another one */
  int hop_length;            /* samples in a frame, at the model's rate */
  int levels;                /* number of levels */
  const double* utilization; /* share of compute of each level, in (0, 1], the lowest first */
} sese_facts;

/* Opens a model for a signal, at budget 1.
 *
 * model: the file model.onnx, or the folder that holds it.
 * sample_rate: of the signal, 8000 to 192000 Hz. At another rate than the model's, the frequencies above the
 *     model's band are kept, and follow the attenuation below.
 * channels: 1 to 64. They are enhanced side by side, at one level in each frame.
 *
 * Returns NULL where it cannot be opened. */
SESE_API sese_stream* sese_open(const char* model, int sample_rate, int channels);

/* Ends a stream. NULL is allowed. */
SESE_API void sese_close(sese_stream* stream);

/* Enhances the next `count` samples of each channel, interleaved, in [-1, 1] and finite.
 *
 * `out` receives as many, late by sese_latency() samples: silence at first. It may be `in`. `count` may be
 * any number, and another one in each call. A block with NaN or infinity is refused, and not taken, and at
 * other rates than the model's one with samples above 1e15. After any other failure, call sese_reset. */
SESE_API int sese_process(sese_stream* stream, const float* in, float* out, size_t count);

/* Returns the delay in samples of the stream. It never changes. */
SESE_API int sese_latency(const sese_stream* stream);

/* Forgets the signal, and keeps the budget. */
SESE_API int sese_reset(sese_stream* stream);

/* Sets how much of the model runs, from the next frame on, in the words of Python and the command line:
 *
 *   - "0.3": the highest level within this share of compute, from the lowest level's to 1. A model that rests
 *     where nobody speaks or nothing disturbs stays within it on average; below two thirds of its second level
 *     it runs the lowest, which takes less time than detecting pauses.
 *   - "auto": the router of the model decides freely.
 *   - "fixed:0.42": the level with this share of compute; "fixed:2" is the second of several experts.
 *   - "fastest", "balanced", "best".
 *   - "held:0.3": the router holds this share on average, for measuring routers. */
SESE_API int sese_set_budget(sese_stream* stream, const char* budget);

/* Runs one level in each frame, counted from 0, the lowest. */
SESE_API int sese_set_level(sese_stream* stream, int level);

/* Lets no frame run a level above this one, whatever the budget. */
SESE_API int sese_set_ceiling(sese_stream* stream, int level);

/* Returns the mean share of compute used since the start or the last reset; 0 before any frame. */
SESE_API double sese_utilization(const sese_stream* stream);

/* Returns facts about the model. */
SESE_API const sese_facts* sese_about(const sese_stream* stream);

/* Returns why the last call in this thread failed, in one line. It lasts until the next failure. */
SESE_API const char* sese_error(void);

#ifdef __cplusplus
}
#endif

#endif
