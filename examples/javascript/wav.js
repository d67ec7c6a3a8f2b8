// WAV files with PCM of 16, 24 or 32 bits or 32-bit float samples.

import { InputError } from './sese.js';

const PCM = 1;
const FLOAT = 3;
const EXTENSIBLE = 0xfffe; // the kind stands further back

/**
 * @param {Buffer} file
 * @returns {{sampleRate: number, bits: number, channels: Float32Array[]}} Samples of each channel, in [-1, 1].
 */
export function readWav(file) {
  if (file.toString('latin1', 0, 4) !== 'RIFF' || file.toString('latin1', 8, 12) !== 'WAVE') {
    throw new InputError('the input is no WAV file; convert it first');
  }
  let format;
  for (let at = 12; at + 8 <= file.length; ) {
    const name = file.toString('latin1', at, at + 4);
    const size = Math.min(file.readUInt32LE(at + 4), file.length - at - 8); // a recorder may not have ended it
    const chunk = file.subarray(at + 8, at + 8 + size);
    if (name === 'fmt ') format = readFormat(chunk);
    if (name === 'data' && format !== undefined) return { ...format, channels: samplesOf(chunk, format) };
    at += 8 + size + (size % 2);
  }
  throw new InputError('the input is a WAV file without samples');
}

function readFormat(chunk) {
  const kind = chunk.readUInt16LE(0) === EXTENSIBLE ? chunk.readUInt16LE(24) : chunk.readUInt16LE(0);
  const [count, sampleRate, bits] = [chunk.readUInt16LE(2), chunk.readUInt32LE(4), chunk.readUInt16LE(14)];
  if (!((kind === PCM && [16, 24, 32].includes(bits)) || (kind === FLOAT && bits === 32)) || count === 0) {
    throw new InputError('the samples of the input are not PCM of 16, 24 or 32 bits, nor 32-bit float');
  }
  return { kind, count, sampleRate, bits };
}

function samplesOf(data, { kind, count, bits }) {
  const width = bits / 8;
  const read = kind === FLOAT ? (at) => data.readFloatLE(at) : (at) => data.readIntLE(at, width) / 2 ** (bits - 1);
  const length = Math.floor(data.length / (width * count));
  return Array.from({ length: count }, (_, channel) =>
    Float32Array.from({ length }, (_, time) => read((time * count + channel) * width)),
  );
}

/**
 * @param {Float32Array[]} channels Samples of each channel.
 * @param {number} sampleRate In Hz.
 * @param {boolean} narrow Whether to write 16-bit PCM, clipped at full scale, and not 32-bit float.
 * @returns {Buffer}
 */
export function writeWav(channels, sampleRate, narrow) {
  const [width, count, length] = [narrow ? 2 : 4, channels.length, channels[0].length];
  const file = Buffer.alloc(44 + length * count * width);
  file.write('RIFF', 0, 'latin1');
  file.writeUInt32LE(file.length - 8, 4);
  file.write('WAVEfmt ', 8, 'latin1');
  file.writeUInt32LE(16, 16);
  file.writeUInt16LE(narrow ? PCM : FLOAT, 20);
  file.writeUInt16LE(count, 22);
  file.writeUInt32LE(sampleRate, 24);
  file.writeUInt32LE(sampleRate * count * width, 28);
  file.writeUInt16LE(count * width, 32);
  file.writeUInt16LE(8 * width, 34);
  file.write('data', 36, 'latin1');
  file.writeUInt32LE(length * count * width, 40);
  channels.forEach((samples, channel) => {
    samples.forEach((sample, time) => {
      const at = 44 + (time * count + channel) * width;
      if (narrow) file.writeInt16LE(Math.max(-32768, Math.min(32767, Math.round(sample * 32768))), at);
      else file.writeFloatLE(sample, at);
    });
  });
  return file;
}
