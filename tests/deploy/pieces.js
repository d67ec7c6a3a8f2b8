// node pieces.js SESE_JS MODEL.onnx IN.f32 OUT.f32: as pieces.cpp does, with two streams side by side.

import { readFile, writeFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';

const [module, path, input, output] = process.argv.slice(2);
const { Model } = await import(pathToFileURL(module));
const model = await Model.open(path);
const bytes = await readFile(input);
const samples = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));

async function work(pieces) {
  const stream = model.stream({ rule: model.atLevel(1) });
  const made = [];
  for (const piece of pieces) {
    for (let at = 0; at < samples.length; at += piece) {
      made.push(...(await stream.feed([samples.subarray(at, at + piece)])));
    }
    made.push(...(await stream.flush()));
  }
  return made;
}

const made = (await Promise.all([work([1000, samples.length]), work([7, 100])])).flat();
await writeFile(output, Buffer.concat(made.map((part) => Buffer.from(part.buffer, part.byteOffset, part.byteLength))));
await model.close();
