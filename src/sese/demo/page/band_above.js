// The gain of the band above the model's own, as in `sese.runtime.band_above`: it follows the band below.

const BAND = [0.5, 0.85]; // the part that is measured, as shares of the common band
const [RISE_SECONDS, FALL_SECONDS] = [0.004, 0.03];
const SILENT = 1e-10; // mean square below which a frame is not measured

export class BandAbove {
  /** For a model described by `facts` and a signal at `rate` Hz. */
  constructor({ sample_rate: modelRate, hop_length: hop, lookahead_samples: lookahead }, rate) {
    Object.assign(this, { hop, lookahead, step: modelRate / rate });
    const width = (hop * Math.min(modelRate, rate)) / 2 / modelRate; // of the common band, in bins
    const [low, high] = BAND.map((edge) => Math.max(1, Math.round(edge * width)));
    this.bins = [low, Math.max(low, high) + 1];
    this.window = Float64Array.from({ length: hop }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * (i + 1)) / (hop + 1)));
    this.cosines = Float64Array.from({ length: hop }, (_, i) => Math.cos((2 * Math.PI * i) / hop));
    this.sines = Float64Array.from({ length: hop }, (_, i) => Math.sin((2 * Math.PI * i) / hop));
    const square = this.window.reduce((sum, value) => sum + value * value, 0);
    this.silent = SILENT * square * (this.bins[1] - low);
    [this.rise, this.fall] = [RISE_SECONDS, FALL_SECONDS].map((seconds) => Math.exp(-hop / modelRate / seconds));
    this.frames = this.given = 0;
    this.last = null;
    this.ends = []; // samples at the model's rate, counted in the signal
    this.gains = []; // at these ends
    this.at = 0; // of the first end that may be needed still
  }

  /** Take frames of the model's output and of its input, aligned: a Float32Array for each channel. */
  add(enhanced, heard) {
    for (let from = 0; from < enhanced[0].length; from += this.hop) {
      const had = this.energy(heard, from);
      const silent = had <= this.silent * heard.length;
      const share = silent ? 1 : Math.sqrt(Math.min(1, this.energy(enhanced, from) / had));
      this.frames++;
      const end = this.frames * this.hop - this.lookahead;
      if (end <= 0) continue;
      if (this.last === null) {
        this.last = share;
        this.ends.push(end - this.hop);
        this.gains.push(share);
      }
      const keep = share > this.last ? this.rise : this.fall;
      if (!silent) this.last = keep * this.last + (1 - keep) * share;
      this.ends.push(end);
      this.gains.push(this.last);
    }
  }

  /** Gains of the next `count` samples of the signal. */
  read(count) {
    const read = new Float32Array(count).fill(1);
    if (!this.gains.length) return read;
    const { ends, gains } = this;
    for (let i = 0; i < count; i++) {
      const time = this.given++ * this.step;
      while (this.at + 1 < ends.length && ends[this.at + 1] <= time) this.at++;
      const span = ends[this.at + 1] - ends[this.at];
      const part = this.at + 1 < ends.length ? Math.max(0, (time - ends[this.at]) / span) : 0;
      read[i] = gains[this.at] + (part ? part * (gains[this.at + 1] - gains[this.at]) : 0);
    }
    return read;
  }

  /** Energy of the measured band of one frame, over all channels. */
  energy(channels, from) {
    const { hop, window, cosines, sines } = this;
    let energy = 0;
    for (const channel of channels) {
      for (let bin = this.bins[0]; bin < this.bins[1]; bin++) {
        let [real, imaginary] = [0, 0];
        for (let i = 0, turn = 0; i < hop; i++) {
          const value = window[i] * channel[from + i];
          real += value * cosines[turn];
          imaginary += value * sines[turn];
          turn = (turn + bin) % hop;
        }
        energy += real * real + imaginary * imaginary;
      }
    }
    return energy;
  }
}
