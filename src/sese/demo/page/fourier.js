// Fourier transforms, quick for sizes without prime factors above 5.

const FACTORS = [5, 3, 2]; // odd ones first: these take longer, and so are taken for the fewest parts

export class Fourier {
  constructor(size) {
    this.size = size;
    this.cosines = Float64Array.from({ length: size }, (_, i) => Math.cos((2 * Math.PI * i) / size));
    this.sines = Float64Array.from({ length: size }, (_, i) => Math.sin((2 * Math.PI * i) / size));
  }

  /** The spectrum [real, imaginary] of a complex signal. */
  forward(real, imaginary) {
    this.out = [new Float64Array(this.size), new Float64Array(this.size)];
    this.part(this.size, real, imaginary, 0, 1, 0);
    return this.out;
  }

  /** The signal [real, imaginary] of a spectrum. */
  inverse(real, imaginary) {
    const [other, signal] = this.forward(imaginary, real); // of the conjugate, turned round
    for (const values of [signal, other]) for (let i = 0; i < values.length; i++) values[i] /= this.size;
    return [signal, other];
  }

  /** Transform `count` values, `stride` apart from `from` on, to the output from `to` on. */
  part(count, real, imaginary, from, stride, to) {
    if (count === 1) {
      this.out[0][to] = real[from];
      this.out[1][to] = imaginary[from];
      return;
    }
    const radix = FACTORS.find((factor) => count % factor === 0) ?? count;
    const length = count / radix;
    for (let i = 0; i < radix; i++) this.part(length, real, imaginary, from + i * stride, radix * stride, to + i * length);
    if (radix === 2) this.pairs(length, stride, to);
    else this.sums(radix, length, stride, to);
  }

  /** Join the spectra of two halves. */
  pairs(length, stride, to) {
    const { cosines, sines } = this;
    const [re, im] = this.out;
    for (let a = to, b = to + length, turn = 0; a < to + length; a++, b++, turn += stride) {
      const x = re[b] * cosines[turn] + im[b] * sines[turn];
      const y = im[b] * cosines[turn] - re[b] * sines[turn];
      re[b] = re[a] - x;
      im[b] = im[a] - y;
      re[a] += x;
      im[a] += y;
    }
  }

  /** Join the spectra of any number of parts, by sums as they are written. */
  sums(radix, length, stride, to) {
    const { size, cosines, sines } = this;
    const [re, im] = this.out.map((values) => values.slice(to, to + radix * length));
    for (let k = 0; k < radix * length; k++) {
      let [sum, other] = [0, 0];
      for (let at = k % length, turn = 0; at < re.length; at += length) {
        sum += re[at] * cosines[turn] + im[at] * sines[turn];
        other += im[at] * cosines[turn] - re[at] * sines[turn];
        turn = (turn + k * stride) % size;
      }
      this.out[0][to + k] = sum;
      this.out[1][to + k] = other;
    }
  }
}
