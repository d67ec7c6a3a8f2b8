#!/usr/bin/env node
// Enhances a WAV file frame by frame, as a device would, and says how long frames took.

import { readFile, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { InputError, Model } from './sese.js';
import { readWav, writeWav } from './wav.js';

const USAGE = `usage: node enhance.js MODEL.onnx IN.wav OUT.wav [--level N | --budget U|auto] [--ceiling N]

  --level N     run level N in every frame, 0 the cheapest
  --budget U    run the highest level within the share U of compute, 1 if not given; \`auto\`: let the
                router decide
  --ceiling N   let the router choose no level above N
`;

function readArguments() {
  const option = { type: 'string' };
  let parsed;
  try {
    parsed = parseArgs({ allowPositionals: true, options: { level: option, budget: option, ceiling: option } });
  } catch (error) {
    throw new InputError(`${error.message}\n${USAGE}`);
  }
  const { values, positionals } = parsed;
  if (positionals.length !== 3) throw new InputError(`give a model, an input and an output\n${USAGE}`);
  if (values.level !== undefined && values.budget !== undefined) {
    throw new InputError(`give --level or --budget, not both\n${USAGE}`);
  }
  const [path, input, output] = positionals;
  return { path, input, output, ...values };
}

function ruleOf(model, { level, budget, ceiling }) {
  let rule = model.within(1);
  if (level !== undefined) rule = model.atLevel(Number(level));
  if (budget !== undefined) rule = budget === 'auto' ? model.automatic() : model.within(Number(budget));
  if (ceiling !== undefined) {
    const highest = model.atLevel(Number(ceiling)).level;
    rule = { ...rule, level: Math.min(rule.level, highest), ceiling: highest }; // -1, the router's, stays
  }
  return rule;
}

function report(milliseconds, facts, samples, utilization) {
  const seconds = samples / facts.sample_rate;
  const sorted = milliseconds.slice().sort((a, b) => a - b);
  const at = (share) => (sorted[Math.floor(share * (sorted.length - 1))] ?? 0).toFixed(4);
  const sum = sorted.reduce((a, b) => a + b, 0);
  console.log(
    `${seconds.toFixed(2)} s of audio, ${sorted.length} frames of ` +
      `${(1000 * facts.hop_length) / facts.sample_rate} ms: median ${at(0.5)} ms, ` +
      `99th percentile ${at(0.99)} ms, real-time factor ${(sum / 1000 / seconds || 0).toFixed(4)}, ` +
      `share of compute ${utilization.toFixed(3)}`,
  );
}

async function enhance(options) {
  const { path, input, output } = options;
  const model = await Model.open(path);
  const { facts } = model;
  let file;
  try {
    file = await readFile(input);
  } catch (error) {
    throw new InputError(`${input} cannot be read (${error.code ?? error.message})`);
  }
  const source = readWav(file);
  if (source.sampleRate !== facts.sample_rate) {
    throw new InputError(
      `${input} is at ${source.sampleRate} Hz and ${facts.name} runs at ${facts.sample_rate} Hz; resample it first`,
    );
  }
  const existing = await realpath(output).catch(() => undefined);
  if (existing === (await realpath(input))) throw new InputError('the output is the input; name another output');

  const stream = model.stream({ channels: source.channels.length, rule: ruleOf(model, options) });
  const length = source.channels[0].length;
  const parts = [];
  const milliseconds = [];
  for (let at = 0; at < length; at += facts.hop_length) {
    const chunk = source.channels.map((samples) => samples.subarray(at, at + facts.hop_length));
    const started = performance.now();
    parts.push(await stream.feed(chunk));
    if (chunk[0].length === facts.hop_length) milliseconds.push(performance.now() - started);
  }
  parts.push(await stream.flush());
  const joined = source.channels.map((_, channel) => join(parts.map((part) => part[channel])));
  const unfinished = `${output}.part`;
  try {
    await writeFile(unfinished, writeWav(joined, facts.sample_rate, source.bits === 16));
    await rename(unfinished, output);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw new InputError(`${output} cannot be written (${error.code ?? error.message})`);
  }
  report(milliseconds, facts, length, stream.utilization);
  await model.close();
}

function join(parts) {
  const joined = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

try {
  await enhance(readArguments());
} catch (error) {
  if (!(error instanceof InputError)) throw error;
  console.error(`sese-enhance: error: ${error.message}`);
  process.exitCode = 2;
}
