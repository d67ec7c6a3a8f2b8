"""`sese stream`: audio from stdin to stdout."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sese.cli.options import (
    MESSAGES,
    OUTPUT,
    BandAbove,
    Budget,
    For,
    Force,
    Linked,
    MaxAttenuation,
    MaxMmacs,
    MaxRtf,
    Mix,
    Model,
    limit_for,
    number_or_word,
    option,
)
from sese.cli.run_models import usable
from sese.cli.summary import note
from sese.core.errors import InputError

if TYPE_CHECKING:
    from sese.live.pipe import Piped

AUDIO = "Audio"
READER_GONE = 141  # the code that shells report for a program that SIGPIPE ended


def stream(
    form: Annotated[
        str | None,
        option(
            AUDIO,
            "--format",
            help="Format of raw input: s16le, s24le, s32le or f32le.",
            show_default="stdin is WAV",
        ),
    ] = None,
    rate: Annotated[int | None, option(AUDIO, help="Sample rate of raw input, in Hz.")] = None,
    channels: Annotated[
        int | None, option(AUDIO, help="Number of interleaved channels of raw input.", show_default="1")
    ] = None,
    out_format: Annotated[
        str | None,
        option(
            AUDIO, help="Format of the output: a raw format, or wav.", show_default="the format of the input"
        ),
    ] = None,
    model: Model = None,
    budget: Budget = "1",
    max_mmacs: MaxMmacs = None,
    max_rtf: MaxRtf = None,
    mix: Mix = 1.0,
    max_attenuation_db: MaxAttenuation = None,
    for_: For = "listener",
    band_above: BandAbove = "follow",
    linked: Linked = True,
    latency: Annotated[
        Literal["low", "high"],
        option(
            AUDIO,
            help="Delay of the filters between sample rates: 'low' is some ms, 'high' is for the filters of "
            "`sese enhance`.",
        ),
    ] = "high",
    trace: Annotated[
        Path | None,
        option(
            OUTPUT,
            help="File for the share of compute, and of some models the probability of speech, of each "
            "frame, .csv or .json.",
        ),
    ] = None,
    force: Force = False,
    quiet: Annotated[bool, option(MESSAGES, "--quiet", "-q", help="Show no statistics at the end.")] = False,
    as_json: Annotated[
        bool, option(MESSAGES, "--json", help="Print the statistics as JSON, to stderr.")
    ] = False,
) -> None:
    """Remove noise from audio that other programs send through a pipe, from stdin to stdout.

    The audio is raw samples or WAV. The output is as long as the input and aligned with it.
    """
    from sese.live.pipe import Input, ReaderGone, enhance_pipe, read_layout
    from sese.live.signals import StopSignals
    from sese.runtime.artefact import open_artefact
    from sese.runtime.options import EnhanceOptions
    from sese.runtime.stream import TRACE_SECONDS, Stream
    from sese.runtime.trace import require_trace_path, write_trace

    # `sys.__stdout__` is None where it was closed from the beginning; `sese.cli.main` has replaced the other.
    for file, name, verb in ((sys.stdin, "stdin", "into"), (sys.__stdout__, "stdout", "out of")):
        if file is None:
            raise InputError(f"{name} is closed; pipe audio {verb} sese")
        if file.isatty():
            raise InputError(
                f"{name} is a terminal; pipe audio {verb} sese, or enhance files with `sese enhance`"
            )
    if trace is not None:
        require_trace_path(trace, force)
    options = EnhanceOptions(
        budget=number_or_word(budget),
        max_mmacs=max_mmacs,
        max_rtf=max_rtf,
        mix=mix,
        max_attenuation_db=limit_for(for_, max_attenuation_db),
        band_above=band_above,
        linked=linked,
    )
    model = usable(model)
    with StopSignals() as stop:
        source = Input(sys.stdin.fileno(), stop)
        try:
            layout, start = read_layout(source, form, rate, channels, out_format)
        except InputError:
            if stop.exit_code:  # stopped before there was any input
                raise typer.Exit(stop.exit_code) from None
            raise
        enhancing = Stream(
            open_artefact(model),
            options,
            layout.sample_rate,
            layout.channels,
            trace_seconds=TRACE_SECONDS if trace is None else None,
            latency=latency,
        )
        try:
            piped = enhance_pipe(source, sys.stdout.fileno(), layout, start, enhancing)
        except ReaderGone:
            raise typer.Exit(stop.exit_code or READER_GONE) from None
        if trace is not None:
            write_trace(trace, enhancing.trace, enhancing.artefact.card, enhancing.speech_probability)
        _tell(piped, quiet, as_json)
        if stop.number is None and piped.missing_bytes:
            raise InputError(
                f"stdin ended {piped.missing_bytes} bytes before the length in its WAV header; "
                "what came was enhanced; send all of it"
            )
        if stop.number is None and not piped.report.seconds:
            raise InputError("stdin held no audio (0 whole samples); check the program before sese")
    if stop.exit_code:
        raise typer.Exit(stop.exit_code)


def _tell(piped: Piped, quiet: bool, as_json: bool) -> None:
    counts = {"clipped_samples": piped.clipped_samples, "trailing_bytes": piped.trailing_bytes}
    if as_json:
        print(json.dumps(piped.report.as_dict() | counts), file=sys.stderr)
    elif not quiet:
        words = piped.report.words()
        if piped.clipped_samples:
            words.append(f"{piped.clipped_samples} samples clipped")
        print("; ".join(words), file=sys.stderr)
    notes = [piped.report.note()]
    if piped.trailing_bytes:
        notes.append(
            f"the last {piped.trailing_bytes} bytes of stdin are less than a sample of every channel and "
            "were left out; check --format and --channels"
        )
    if piped.dropped:
        notes.append(f"not kept in the output: {', '.join(piped.dropped)}")
    for text in notes:
        if text:
            note(text)
