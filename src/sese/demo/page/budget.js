// What the controls mean for a model: the level and the budget that its graph is given.

const SLACK = 1e-6;
const PAUSES = 1 / 4; // share of the time at rest, at most, with which a number is to reach the second level

/**
 * Inputs of the graph for a choice, as `sese enhance --budget` reads it.
 * `mode` is "fixed" (`value`: index of a level), "share" (`value`: share of compute) or "auto".
 * Level -1 is the choice of the router, or of a dial; a budget of 0 leaves it alone.
 */
export function toInputs(model, { mode, value }) {
  const used = model.levels.map((level) => level.utilization);
  if (mode === "auto") return { level: -1, budget: 0 };
  if (mode === "fixed") return { level: value, budget: 0 };
  if (value >= restsFrom(model) - SLACK && value < used.at(-1) - SLACK) return { level: -1, budget: value };
  return { level: used.findLastIndex((level) => level <= value + SLACK), budget: 0 };
}

/** The lowest share at which a model rests: below it, rests at the lowest level cost more time than they save. */
function restsFrom({ rests, levels }) {
  return rests && levels.length > 1 ? (1 - PAUSES) * levels[1].utilization : Infinity;
}

/** A choice in words: what the slider stands at, and a sentence about it. */
export function inWords(model, { mode, value }) {
  const frame = ((1000 * model.hop_length) / model.sample_rate).toFixed(0);
  if (mode === "auto")
    return [
      "auto",
      model.rests
        ? "The highest level where somebody surely speaks, the one below in doubt, nothing where nobody speaks or nothing disturbs."
        : `The model's router picks a level every ${frame} ms, as it sees fit.`,
    ];
  if (mode === "share" && toInputs(model, { mode, value }).level === 0)
    return [value.toFixed(3), `The lowest level, always: it takes less time than the detection of pauses.`];
  if (mode === "share")
    return [
      value.toFixed(3),
      `At most ${percent(value)} of the compute on average: the highest level that stays within it, and rests.`,
    ];
  const level = model.levels[value];
  const million = (level.macs_per_second / 1e6).toFixed(0);
  if (model.alternatives)
    return [`${value + 1}`, `Always expert ${value + 1}: ${million} million multiplications a second.`];
  return [
    `${level.utilization}`,
    `Always ${percent(level.utilization)} of the compute: ${million} million multiplications a second.`,
  ];
}

function percent(share) {
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
}
