"""`sese live`: from a microphone to a loudspeaker, or to a program that listens to a virtual one."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sese.cli.options import (
    BUDGET_HELP,
    MESSAGES,
    MODEL_AND_BUDGET,
    SOUND,
    BandAbove,
    For,
    Linked,
    MaxAttenuation,
    MaxMmacs,
    Mix,
    Model,
    Quiet,
    budgets,
    limit_for,
    number_or_word,
    option,
)
from sese.cli.run_models import usable
from sese.cli.summary import note
from sese.core.errors import InputError, plain

if TYPE_CHECKING:
    from sese.live.devices import SoundCard
    from sese.live.duplex import Duplex
    from sese.live.engine import Engine
    from sese.live.keys import Keys
    from sese.live.model import Report
    from sese.live.signals import StopSignals

DEVICES, DELAY = "Devices", "Delay"
REFRESH_SECONDS = 0.1
MAX_RTF = 0.8


def live(
    list_: Annotated[bool, option(DEVICES, "--list", help="List the devices, and end.")] = False,
    input_: Annotated[
        str | None,
        option(DEVICES, "--input", "-i", help="Device to record from: an index of --list or part of a name."),
    ] = None,
    output: Annotated[
        str | None,
        option(DEVICES, "--output", "-o", help="Device to play on: an index of --list or part of a name."),
    ] = None,
    rate: Annotated[
        int | None,
        option(
            DEVICES, help="Sample rate of both devices, in Hz.", show_default="the input's preferred rate"
        ),
    ] = None,
    channels: Annotated[
        int, option(DEVICES, help="Number of channels to record; one is played on both sides.")
    ] = 1,
    model: Model = None,
    budget: Annotated[
        str | None,
        option(
            MODEL_AND_BUDGET,
            "--budget",
            "-b",
            help=BUDGET_HELP,
            autocompletion=budgets,
            envvar="SESE_BUDGET",
            show_default="auto; 1 for a model that cannot rest",
        ),
    ] = None,
    max_mmacs: MaxMmacs = None,
    max_rtf: Annotated[
        float | None,
        option(
            MODEL_AND_BUDGET,
            help="Longest time for a frame, as a multiple of its duration; higher levels are left out while "
            "frames take longer.",
            show_default=f"{MAX_RTF}; no limit with --unlinked",
        ),
    ] = None,
    mix: Mix = 1.0,
    max_attenuation_db: MaxAttenuation = None,
    for_: For = "listener",
    band_above: BandAbove = "follow",
    linked: Linked = True,
    block_ms: Annotated[float, option(DELAY, help="Length of a block of the sound card, in ms.")] = 10.0,
    buffer_ms: Annotated[
        float,
        option(DELAY, help="Audio that waits to be played, in ms: more avoids dropouts, less avoids delay."),
    ] = 20.0,
    device_latency: Annotated[
        str, option(DELAY, help="Latency to ask of the devices: low, high, or milliseconds.")
    ] = "low",
    correct_drift: Annotated[
        bool, option(DELAY, help="Hold the delay where the clocks of the devices differ.")
    ] = True,
    seconds: Annotated[float | None, option(DEVICES, help="Time in seconds after which to end.")] = None,
    bypass: Annotated[bool, option(SOUND, "--bypass", help="Begin with the original sound.")] = False,
    quiet: Quiet = False,
    as_json: Annotated[
        bool, option(MESSAGES, "--json", help="Print the list, or the statistics at the end, as JSON.")
    ] = False,
) -> None:
    """Remove noise from a microphone while it records, and play the result.

    Keys: b switches between the enhanced and the original sound, q quits.
    """
    from sese.live.devices import find_card, list_cards, sounddevice
    from sese.live.duplex import Duplex, Form
    from sese.live.engine import Engine
    from sese.live.keys import Keys
    from sese.live.model import report, usual_budget
    from sese.live.signals import StopSignals
    from sese.runtime.artefact import open_artefact
    from sese.runtime.options import EnhanceOptions
    from sese.runtime.stream import Stream

    sd = sounddevice()
    if list_:
        _list(list_cards(sd), as_json)
        return
    latency = _latency(device_latency)
    for name, value in (("--block-ms", block_ms), ("--buffer-ms", buffer_ms)):
        if not 1 <= value <= 1000:
            raise InputError(f"{name} is {value:g}; give a number of milliseconds from 1 to 1000")
    if seconds is not None and not seconds > 0:
        raise InputError(f"--seconds is {seconds:g}; give a number above 0, or leave it out")
    source, target = find_card(sd, input_, "input"), find_card(sd, output, "output")
    rate = source.sample_rate if rate is None else rate
    if max_rtf is None and (linked or channels == 1):
        max_rtf = MAX_RTF
    artefact = open_artefact(usable(model))
    options = EnhanceOptions(
        budget=usual_budget(artefact.card) if budget is None else number_or_word(budget),
        max_mmacs=max_mmacs,
        max_rtf=max_rtf,
        mix=mix,
        max_attenuation_db=limit_for(for_, max_attenuation_db),
        band_above=band_above,
        linked=linked,
    )
    stream = Stream(artefact, options, rate, channels, trace_seconds=1, latency="low")
    block = max(1, round(block_ms * rate / 1000))
    played = min(2, target.outputs) if channels == 1 else channels
    engine = Engine(stream, round(buffer_ms * rate / 1000), block, correct_drift)
    engine.bypass = bypass
    duplex = Duplex(sd, source, target, engine, Form(rate, (channels, played), block, latency))
    with StopSignals() as stop, Keys(stop) as keys, duplex:
        delays = [
            *(1000 * delay for delay in duplex.latency_seconds),
            1000 * stream.latency_samples / rate,
            1000 * engine.target_frames / rate,
        ]
        if not quiet:
            _introduce(source, target, rate, channels, stream.artefact.card.name, delays)
        _watch(duplex, engine, keys, stop, seconds, show=not quiet)
    done = report(stream, engine.fed)
    if as_json:
        names = ("input", "output", "model", "buffer")
        latencies = {f"{name}_latency_ms": round(ms, 2) for name, ms in zip(names, delays, strict=True)}
        devices = {"input": source.name, "output": target.name}
        counts = vars(engine.counts) | {"corrected_samples": engine.corrected_samples}
        print(json.dumps(devices | done.as_dict() | counts | latencies))
    elif not quiet:
        _summarize(done, engine)
    if stop.exit_code:
        raise typer.Exit(stop.exit_code)


def _latency(text: str) -> str | float:
    if text in ("low", "high"):
        return text
    try:
        seconds = float(text) / 1000
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 10:
        raise InputError(f"--device-latency is {text!r}; give low, high, or milliseconds from 0 to 10000")
    return seconds


def _list(cards: list[SoundCard], as_json: bool) -> None:
    if as_json:
        print(json.dumps([card.as_dict() for card in cards], indent=2))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("", "device", "host", "in", "out", "Hz", "default")
    for card in cards:
        default = " and ".join(
            word for word, is_so in (("in", card.default_input), ("out", card.default_output)) if is_so
        )
        numbers = (str(card.inputs), str(card.outputs), str(card.sample_rate))
        table.add_row(str(card.index), escape(plain(card.name)), escape(plain(card.host)), *numbers, default)
    Console().print(table if cards else "no devices; connect a sound card, or start a sound server")


def _introduce(
    source: SoundCard, target: SoundCard, rate: int, channels: int, model: str, delays: list[float]
) -> None:
    words = f"{source.name} -> {target.name}; {rate} Hz, {channels} channel(s); model {model}"
    print(plain(words), file=sys.stderr)
    parts = ", ".join(
        f"{name} {ms:.0f}" for name, ms in zip(("input", "output", "model", "buffer"), delays, strict=True)
    )
    print(f"latency {sum(delays):.0f} ms ({parts})", file=sys.stderr)


def _watch(
    duplex: Duplex, engine: Engine, keys: Keys, stop: StopSignals, seconds: float | None, show: bool
) -> None:
    """Show the screen and answer keys until something says to end."""
    from contextlib import nullcontext
    from time import monotonic

    from rich.console import Console
    from rich.live import Live

    from sese.live.screen import screen

    def picture() -> Any:
        return screen(engine.meters, engine.counts, engine.bypass)

    console = Console(stderr=True)
    end = None if seconds is None else monotonic() + seconds
    shown = None
    if show and console.is_terminal:
        shown = Live(picture(), console=console, auto_refresh=False, transient=True)
    with shown or nullcontext():
        while stop.number is None and (end is None or monotonic() < end):
            key = keys.wait(REFRESH_SECONDS)
            if key == "q":
                return
            if key == "b":
                engine.bypass = not engine.bypass
            duplex.check()
            if shown is not None:
                shown.update(picture(), refresh=True)


def _summarize(done: Report, engine: Engine) -> None:
    counts = engine.counts
    words = done.words()
    if counts.total:
        kinds = (f"{count} {kind.replace('_', ' ')}" for kind, count in vars(counts).items() if count)
        words.append(f"dropouts: {', '.join(kinds)}")
    else:
        words.append("no dropouts")
    if engine.corrected_samples:
        words.append(f"{engine.corrected_samples} samples inserted or left out to hold the delay")
    print("; ".join(words), file=sys.stderr)
    text = done.note()
    if text:
        note(text)
