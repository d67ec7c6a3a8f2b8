// Points of time at which gains are given, as in `sese.runtime.high_bands`: each frame of a model in equal parts.

const REACH_SECONDS = 0.002; // resampling to the model's rate waits as long
const LONGEST_SECONDS = 0.008; // between two points, at most
const FEWEST_SAMPLES = 8; // between two points, at the model's rate, at least

export class Points {
  constructor({ sample_rate: modelRate, hop_length: hop, lookahead_samples: lookahead }, rate) {
    const ratio = rate / modelRate;
    const ahead = (lookahead - 1) * ratio + Math.ceil(REACH_SECONDS * rate);
    const longest = Math.max(1, Math.floor(Math.min(ahead, Math.ceil(LONGEST_SECONDS * rate))));
    let parts = Math.ceil((hop * ratio) / longest);
    while (parts <= hop / FEWEST_SAMPLES && hop % parts) parts++;
    this.close = parts <= hop / FEWEST_SAMPLES; // close enough for filters
    this.part = this.close ? hop / parts : hop; // samples between two points, at the model's rate
    this.seconds = this.part / modelRate;
    [this.modelRate, this.rate, this.lookahead] = [modelRate, rate, lookahead];
    this.spacing = Math.ceil(this.part * ratio); // as many samples before and after a point decide on its gains
    this.frame = Math.ceil(hop * ratio);
    this.skipped = Math.floor(lookahead / this.part); // number of the first point: the signal begins before the next
  }

  /** Sample of a point, counted in the signal; points are counted from the model's first frame on. */
  at(number) {
    const place = number * this.part - this.lookahead;
    return Math.floor((2 * place * this.rate + this.modelRate) / (2 * this.modelRate)); // halves go up
  }
}

/** The nearest whole number, of two that are as near the even one, as NumPy and Python round. */
export function rint(value) {
  const floor = Math.floor(value);
  if (value - floor === 0.5) return floor + (floor % 2 === 0 ? 0 : 1);
  return Math.round(value);
}
