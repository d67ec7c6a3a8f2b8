// Fourier transforms of any size that has small factors, by halves where it is even.

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
    const radix = count % 2 ? count : 2;
    if (radix === count) return this.plain(count, real, imaginary, from, stride, to);
    const length = count / 2;
    this.part(length, real, imaginary, from, 2 * stride, to);
    this.part(length, real, imaginary, from + stride, 2 * stride, to + length);
    const { cosines, sines } = this;
    const [re, im] = this.out;
    for (let k = 0, turn = 0; k < length; k++, turn += stride) {
      const [a, b] = [to + k, to + k + length];
      const x = re[b] * cosines[turn] + im[b] * sines[turn];
      const y = im[b] * cosines[turn] - re[b] * sines[turn];
      re[b] = re[a] - x;
      im[b] = im[a] - y;
      re[a] += x;
      im[a] += y;
    }
  }

  /** The sum as it is written, for an odd or small number of values. */
  plain(count, real, imaginary, from, stride, to) {
    const { size, cosines, sines } = this;
    const [re, im] = this.out;
    for (let k = 0; k < count; k++) {
      let [sum, other] = [0, 0];
      for (let i = 0, turn = 0; i < count; i++) {
        const [a, b] = [real[from + i * stride], imaginary[from + i * stride]];
        sum += a * cosines[turn] + b * sines[turn];
        other += b * cosines[turn] - a * sines[turn];
        turn = (turn + k * stride) % size;
      }
      re[to + k] = sum;
      im[to + k] = other;
    }
  }
}
