// The model and the budget controls.

import { inWords } from "./budget.js";

const STEP = 0.005; // of a share of compute
const DECIDES = {
  gates: "with gates that pick channels",
  rests: "rests where nobody speaks",
  router: "with a router",
  hand: "no router: its levels are picked by hand",
};

export class Controls {
  /** `changed("model" or "budget")` is called when the user has changed something. */
  constructor(models, changed) {
    this.models = models;
    this.select = document.querySelector("#model");
    this.slider = document.querySelector("#budget");
    this.modes = [...document.querySelectorAll("#modes input")];
    this.select.replaceChildren(...models.map((model, index) => new Option(model.name, index)));
    this.select.addEventListener("change", () => {
      this.useModel();
      changed("model");
    });
    for (const mode of this.modes)
      mode.addEventListener("change", () => {
        this.useMode();
        changed("budget");
      });
    this.slider.addEventListener("input", () => {
      this.values[this.mode] = Number(this.slider.value);
      this.tell();
      changed("budget");
    });
    this.useModel();
  }

  get model() {
    return this.models[this.select.value];
  }

  get mode() {
    return this.modes.find((mode) => mode.checked).value;
  }

  /** See `toInputs`. */
  get choice() {
    return { mode: this.mode, value: this.values[this.mode] };
  }

  /** Whether the model may not be exchanged, as while the microphone runs. */
  lockModel(locked) {
    this.select.disabled = locked;
  }

  useModel() {
    const { model } = this;
    const { levels } = model;
    const least = levels[0].utilization;
    this.values = { fixed: levels.length - 1, share: Math.max(least, 0.3), auto: 0 };
    // Elsewhere a share of compute is a level, which is offered already.
    const offered = { fixed: true, share: model.rests, auto: model.router };
    for (const mode of this.modes) {
      mode.disabled = !offered[mode.value];
      // What the network was trained for.
      if (model.gates || (model.alternatives && model.router)) mode.checked = mode.value === "auto";
    }
    if (!offered[this.mode]) this.modes[0].checked = true;
    document.querySelector("#model-note").textContent =
      `${(model.parameters / 1e6).toFixed(2)} million weights, ${model.sample_rate / 1000} kHz, ` +
      `${levels.length} levels, ${DECIDES[["gates", "rests", "router"].find((kind) => model[kind]) ?? "hand"]}`;
    this.useMode();
  }

  useMode() {
    const { model, mode, slider } = this;
    const used = model.levels.map((level) => level.utilization);
    const fixed = mode === "fixed";
    slider.min = fixed ? 0 : used[0];
    slider.max = fixed ? used.length - 1 : 1;
    slider.step = fixed ? 1 : STEP;
    slider.disabled = mode === "auto";
    slider.value = mode === "auto" ? 1 : this.values[mode];
    const names = model.alternatives ? used.map((_, index) => index + 1) : used;
    const ticks = (fixed ? names : [used[0], 1]).map((value) => {
      const tick = document.createElement("span");
      tick.textContent = mode === "auto" ? "" : value;
      return tick;
    });
    document.querySelector("#ticks").replaceChildren(...ticks);
    this.tell();
  }

  tell() {
    const [value, note] = inWords(this.model, this.choice);
    document.querySelector("#budget-value").value = value;
    document.querySelector("#budget-note").textContent = note;
    this.slider.setAttribute("aria-valuetext", `${value}. ${note}`);
  }
}
