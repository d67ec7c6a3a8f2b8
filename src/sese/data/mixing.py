"""Noisy mixtures with their clean targets, made on the fly, a batch at a time, on any device."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sese.core.errors import InputError
from sese.data import effects
from sese.data.bank import Bank
from sese.data.conversations import Turn
from sese.data.disturbances import LoudSound
from sese.data.laying import Shelf
from sese.data.plans import MixConfig, Plan, Planner

__all__ = ["MixConfig", "Mixer", "Mixture", "Plan", "active_power"]

PEAK = 0.99
FADE_S = 0.005  # at the ends of an utterance, where digital silence follows
SPEECH_FLOOR = 1e-6  # -60 dBFS: what is weaker is a pause, and is not raised to the level of speech
NOISE_FLOOR = 1e-8  # -80 dBFS: what is weaker is a gap of the recording


class Mixture(NamedTuple):
    """noisy, clean: float32 [batch, 1, time] in [-1, 1]. snr_db: float32 [batch], -inf without speech.

    label: float32 [batch], what is known of mixtures that come from a labelled pool (`sese.data.pool`), or
    their class (`sese.training.experts`). speaker: int64 [batch], as in `Bank.group_names` of the speech.
    The SNR is that before any clipping, change of level or gap, and over the part with noise.
    """

    noisy: Tensor
    clean: Tensor
    snr_db: Tensor
    label: Tensor | None = None
    speaker: Tensor | None = None


class Mixer:
    """Makes examples by their number.

    Example i depends on (seed, i) and the banks alone: not on the batch it is in, nor (to rounding) on the
    device. Utterances begin and end with fades of 5 ms; short noises loop. The reported SNR is that of the
    active part of the clean side (`active_power`) over the noise of the whole clip, or of the part with
    noise where it begins or ends in the clip; it is that before clipping, a change of level, mu-law or gaps.

    Raises InputError if a bank has another sample rate than the configuration, or the seed is negative.
    """

    def __init__(
        self,
        config: MixConfig,
        speech: Bank,
        noise: Bank,
        rir: Bank | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
        planner: type[Planner] = Planner,
    ):
        for name, bank in (("speech", speech), ("noise", noise), ("rir", rir)):
            if bank is not None and bank.sample_rate != config.sample_rate:
                raise InputError(
                    f"{name} bank: got {bank.sample_rate} Hz, configured {config.sample_rate} Hz; "
                    "load the bank at that rate"
                )
        if not 0 <= seed < 2**63:
            raise InputError(f"mix seed: got {seed}; give a whole number from 0")
        self.config, self.seed, self.device = config, seed, torch.device(device)
        self.plan = planner(config, speech, noise, rir, seed)
        self.speech, self.noise = Shelf(speech, self.device), Shelf(noise, self.device)
        self.rir = Shelf(rir, self.device) if rir is not None else None
        self.fade = round(FADE_S * config.sample_rate)
        longest = int(rir.lengths.max()) if rir is not None else 0
        self.fft = _fast_length(config.time + max(longest, config.sample_rate // 10))
        self.frequencies = torch.fft.rfftfreq(self.fft, 1.0 / config.sample_rate, device=self.device)

    @torch.no_grad()
    def __call__(self, indices: Sequence[int] | Tensor, snr_db: Sequence[float] | None = None) -> Mixture:
        """The examples of these numbers (each 0 or more); snr_db: set the SNRs instead of drawing them."""
        plans = [self.plan(int(i)) for i in indices]
        snr = self._values(snr_db if snr_db is not None else [p.snr_db for p in plans])
        clean = self._speech(plans)
        noise = self._noise(plans)
        clean, reverberant, noise = self._filter(plans, clean, noise)
        share = self._interrupt(plans, noise)

        # Gains. Below its floor, speech keeps the gain that the floor would get: the true SNR is then lower.
        level = 10.0 ** (self._values([p.speech_dbfs for p in plans]) / 20)
        power = active_power(clean, self.config.sample_rate)
        noise_power = noise.square().mean(1) / share
        speech_gain = level / power.clamp(min=SPEECH_FLOOR).sqrt()
        noise_gain = level * 10.0 ** (-snr / 20) / noise_power.clamp(min=NOISE_FLOOR).sqrt()
        # Without noise the SNR is large but finite, so that silence in silence is -inf and not a NaN.
        noise_level = (noise_power * noise_gain**2).clamp(min=1e-20)
        true_snr = 10 * (torch.log10(power * speech_gain**2) - torch.log10(noise_level))
        clean = clean * speech_gain[:, None]
        noisy = reverberant * speech_gain[:, None] + noise * noise_gain[:, None]
        self._loud_before(plans, level, noisy, clean)
        self._rumble(plans, level, noisy)
        self._level_change(plans, noisy, clean)

        limit = self._values([p.clip for p in plans]) * noisy.abs().amax(1)
        noisy = torch.minimum(torch.maximum(noisy, -limit[:, None]), limit[:, None])
        peak = torch.maximum(limit, clean.abs().amax(1))
        scale = PEAK / peak.clamp(min=PEAK)
        for row, p in enumerate(plans):
            if p.offset:  # leave room for it
                scale[row] = torch.minimum(scale[row], (PEAK - abs(p.offset)) / peak[row].clamp(min=1e-9))
        noisy, clean = noisy * scale[:, None], clean * scale[:, None]
        self._transmit(plans, noisy, clean)
        speaker = torch.from_numpy(self.speech.bank.groups[[p.speech[0][0] for p in plans]])
        return Mixture(noisy[:, None], clean[:, None], true_snr, speaker=speaker.to(self.device))

    def _values(self, values: Sequence[float] | Sequence[tuple[float, ...]]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self.device)

    def _speech(self, plans: Sequence[Plan]) -> Tensor:
        """Utterances at their places: [batch, time]."""
        talks = [row for row, p in enumerate(plans) if p.turns is not None]
        if talks:
            clips = torch.zeros(len(plans), self.config.time, device=self.device)
            others = [row for row, p in enumerate(plans) if p.turns is None]
            if others:
                clips[others] = self.speech.lay(
                    [plans[row].speech for row in others], self.config.time, self.fade
                )
            clips[talks] = self._conversations([plans[row].turns or () for row in talks])
        else:
            clips = self.speech.lay([p.speech for p in plans], self.config.time, self.fade)
        sounds = {row: p.loud_before for row, p in enumerate(plans) if p.loud_before is not None}
        if sounds:
            _multiply(clips, sounds, self._around(list(sounds.values())))
        return clips * self._values([0.0 if p.silent else 1.0 for p in plans])[:, None]

    def _conversations(self, turns: Sequence[tuple[Turn, ...]]) -> Tensor:
        """The turns of each conversation, each piece at its gain: [row, time]."""
        clips = torch.zeros(len(turns), self.config.time, device=self.device)
        pieces = [
            (row, piece) for row, of_row in enumerate(turns) for turn in of_row for piece in turn.pieces
        ]
        if pieces:
            parts = self.speech.lay([[piece[:4]] for _, piece in pieces], self.config.time, self.fade)
            parts *= self._values([piece.gain for _, piece in pieces])[:, None]
            clips.index_add_(0, torch.tensor([row for row, _ in pieces], device=self.device), parts)
        return clips

    def _noise(self, plans: Sequence[Plan]) -> Tensor:
        """The first noise or babble at unit power, and the weaker second, if any: [batch, time]."""
        drawn = [
            (row, *part) for row, p in enumerate(plans) for part in (p.noise[1:] if p.babble else p.noise)
        ]
        parts = self._parts(self.noise, drawn)
        parts *= self._gains(parts.square().mean(1).clamp(min=NOISE_FLOOR), [d[3] for d in drawn])
        babbling = [row for row, p in enumerate(plans) if p.babble]
        if len(drawn) == len(plans) and not babbling:
            return parts
        row = torch.tensor([d[0] for d in drawn], dtype=torch.int64, device=self.device)
        noise = torch.zeros(len(plans), self.config.time, device=self.device).index_add_(0, row, parts)
        if babbling:
            noise[babbling] += self._babble([plans[row] for row in babbling])
        return noise

    def _babble(self, plans: Sequence[Plan]) -> Tensor:
        """The voices of each plan at their levels, together at unit power: [row, time]."""
        drawn = [(row, *part) for row, p in enumerate(plans) for part in p.babble]
        voices = self._parts(self.speech, drawn)
        # The level is that of the active part: a voice that pauses much is not louder for it.
        power = active_power(voices, self.config.sample_rate).clamp(min=SPEECH_FLOOR)
        voices *= self._gains(power, [d[3] for d in drawn])
        row = torch.tensor([d[0] for d in drawn], device=self.device)
        babble = torch.zeros(len(plans), self.config.time, device=self.device).index_add_(0, row, voices)
        return babble / babble.square().mean(1, keepdim=True).clamp(min=NOISE_FLOOR).sqrt()

    def _parts(self, shelf: Shelf, drawn: Sequence[tuple[int, int, int, float]]) -> Tensor:
        """These (row, recording, first sample, dB), looped where they are short: [part, time]."""
        if not drawn:
            return torch.zeros(0, self.config.time, device=self.device)
        loops = []
        for _, recording, offset, _ in drawn:
            length = int(shelf.bank.lengths[recording])
            loops.append([(recording, begin) for begin in range(-offset, self.config.time, length)])
        return shelf.lay(loops, self.config.time, self.fade)

    def _gains(self, power: Tensor, level_db: Sequence[float]) -> Tensor:
        """What brings parts of these powers to these levels: [part, 1]."""
        return (10.0 ** (self._values(level_db) / 20) / power.sqrt())[:, None]

    def _interrupt(self, plans: Sequence[Plan], noise: Tensor) -> Tensor:
        """Fade noise [batch, time] in or out where the plans say so; the share that is left: [batch]."""
        share = torch.ones(len(plans), device=self.device)
        places = {row: p.drop_in for row, p in enumerate(plans) if p.drop_in is not None}
        faded: dict[int, Tensor] = {}
        if places:
            gain = effects.fades(list(places.values()), self.config.time, self.device)
            _multiply(noise, places, gain)
            share[list(places)] = gain.square().mean(1)
            faded = dict(zip(places, gain, strict=True))
        stretches = {row: [p.no_noise] for row, p in enumerate(plans) if p.no_noise is not None}
        if stretches:
            gain = effects.gaps(list(stretches.values()), self.config.time, self.fade, self.device)
            _multiply(noise, stretches, gain)
            for row, of_row in zip(stretches, gain, strict=True):
                left = of_row * faded[row] if row in faded else of_row
                share[row] = left.square().mean().clamp(min=1e-3)  # the two together may leave nothing
        return share

    def _level_change(self, plans: Sequence[Plan], noisy: Tensor, clean: Tensor) -> None:
        """Change the gain of both sides [batch, time] where the plans say so."""
        for of_all in ([p.level_change for p in plans], [p.level_step for p in plans]):
            changes = {row: change for row, change in enumerate(of_all) if change is not None}
            if changes:
                gain = effects.level_changes(list(changes.values()), self.config.time, self.device)
                _multiply(noisy, changes, gain)
                _multiply(clean, changes, gain)

    def _around(self, sounds: Sequence[LoudSound]) -> Tensor:
        """Gains [row, time] that are 0 during loud sounds, and else 1."""
        places = [[(sound.begin, sound.length)] for sound in sounds]
        return effects.gaps(places, self.config.time, self.fade, self.device)

    def _loud_before(self, plans: Sequence[Plan], level: Tensor, noisy: Tensor, clean: Tensor) -> None:
        """Add loud sounds where the plans say so: voices to both sides [batch, time], others to one.

        level: [batch] RMS of the active speech.
        """
        loud = {row: p.loud_before for row, p in enumerate(plans) if p.loud_before is not None}
        if not loud:
            return
        rate = self.config.sample_rate
        for row, sound in loud.items():
            if sound.kind == "beep":
                clip = effects.sines([[(sound.hertz, 1.0, sound.phase)]], self.config.time, rate, self.device)
            else:
                shelf = self.noise if sound.kind == "noise" else self.speech
                clip = self._parts(shelf, [(row, sound.recording, sound.first, 0.0)])
            during = slice(sound.begin, max(sound.begin + sound.length, rate // 50))  # a frame or more
            # The level is that of the active part, as that of the speech is.
            power = active_power(clip[:, during], rate)[0].clamp(min=SPEECH_FLOOR)
            gain = level[row] * 10 ** (sound.above_db / 20) / power.sqrt()
            clip = clip[0] * gain * (1 - self._around([sound])[0])
            for side in (noisy, clean) if sound.kind == "voice" else (noisy,):
                side[row] += clip

    def _rumble(self, plans: Sequence[Plan], level: Tensor, noisy: Tensor) -> None:
        """Add hum or rumble to the noisy side [batch, time] where the plans say so; level: as above."""
        rumbles = {row: p.rumble for row, p in enumerate(plans) if p.rumble is not None}
        if rumbles:
            partials = [rumble.partials for rumble in rumbles.values()]
            clips = effects.sines(partials, self.config.time, self.config.sample_rate, self.device)
            power = clips.square().mean(1).clamp(min=NOISE_FLOOR)
            clips *= self._gains(power, [rumble.above_db for rumble in rumbles.values()])
            for row, clip in zip(rumbles, clips, strict=True):
                noisy[row] += clip * level[row]

    def _transmit(self, plans: Sequence[Plan], noisy: Tensor, clean: Tensor) -> None:
        """Code the noisy side, leave gaps in both sides [batch, time], and add offsets, as the plans say."""
        coded = [row for row, p in enumerate(plans) if p.mu_law]
        if coded:
            noisy[coded] = effects.mu_law(noisy[coded])
        gaps = {row: p.gaps for row, p in enumerate(plans) if p.gaps}
        if gaps:
            fade = round(effects.GAP_FADE_S * self.config.sample_rate)
            gain = effects.gaps(list(gaps.values()), self.config.time, fade, self.device)
            _multiply(noisy, gaps, gain)
            _multiply(clean, gaps, gain)
        for row, p in enumerate(plans):
            if p.offset:
                noisy[row] += p.offset
            if p.zeros is not None:
                begin, length = p.zeros
                for side in (noisy, clean):
                    side[row, begin : begin + length] = 0.0

    def _filter(self, plans: Sequence[Plan], speech: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(target, speech as heard, noise), each [batch, time], with the rooms and filters of the plans."""
        target = heard = speech
        both = [row for row, p in enumerate(plans) if p.filtered]
        coloured = {row: p.colour for row, p in enumerate(plans) if p.colour is not None}
        either = sorted({*both, *coloured})
        if either:
            response = torch.ones(len(plans), len(self.frequencies), device=self.device)
            if both:
                response[both] = self._response([plans[row] for row in both])
            shared = response[both]
            if coloured:
                response[list(coloured)] *= self._shelves(list(coloured.values()))
            # All clips are transformed at once: few cost nearly as much.
            clips = torch.fft.rfft(torch.cat([speech[both], noise[either]]), self.fft)
            clips = self._back(clips * torch.cat([shared, response[either]]))
            speech[both], noise[either] = clips[: len(both)], clips[len(both) :]
        rooms = [row for row, p in enumerate(plans) if p.rir >= 0]
        if rooms:
            dry = torch.fft.rfft(speech[rooms], self.fft)
            early, full = self._rooms([plans[row].rir for row in rooms])
            target, heard = speech, speech.clone()
            target[rooms] = self._back(dry * early)
            heard[rooms] = self._back(dry * full)
        return target, heard, noise

    def _back(self, spectrum: Tensor) -> Tensor:
        return torch.fft.irfft(spectrum, self.fft)[:, : self.config.time]

    def _response(self, plans: Sequence[Plan]) -> Tensor:
        """Zero-phase gain of the filters on both sides, shelves, low-pass and telephone: [row, frequency]."""
        cutoff = [min(p.cutoff_hz, p.telephone[1]) if p.telephone else p.cutoff_hz for p in plans]
        # The low-pass falls by some 50 dB in 500 Hz, smoothly: its response stays short.
        below = torch.sigmoid((self._values(cutoff)[:, None] - self.frequencies) / 80.0)
        response = self._shelves([p.shelves for p in plans]) * below
        low = {row: p.telephone[0] for row, p in enumerate(plans) if p.telephone is not None}
        if low:
            # The high-pass by some 50 dB in 150 Hz.
            edges = self._values(list(low.values()))[:, None]
            response[list(low)] *= torch.sigmoid((self.frequencies - edges) / 25.0)
        return response

    def _shelves(self, shelves: Sequence[tuple[float, float, float, float]]) -> Tensor:
        """Zero-phase gain of a low and a high shelf: [row, frequency]."""
        low_db, low_hz, high_db, high_hz = self._values(shelves).T[..., None]
        f = self.frequencies
        decibels = low_db / (1 + (f / low_hz) ** 2) + high_db / (1 + (high_hz / f.clamp(min=1.0)) ** 2)
        return torch.exp(decibels * (math.log(10) / 20))

    def _rooms(self, recordings: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Spectra of the early part and of all of these room responses: [row, frequency] each."""
        assert self.rir is not None
        longest = int(self.rir.bank.lengths[list(recordings)].max())
        room = self.rir.lay([[(recording, 0)] for recording in recordings], longest)
        direct = room.abs().argmax(1, keepdim=True)
        t = torch.arange(longest, device=self.device)
        rate = self.config.sample_rate
        last = direct + self.config.early_ms * rate / 1000
        kept = ((last - t) / (0.002 * rate) + 1.0).clamp(0.0, 1.0)  # 2 ms of fade after the early part
        return torch.fft.rfft(room * kept, self.fft), torch.fft.rfft(room, self.fft)


def _multiply(clips: Tensor, rows: Iterable[int], gain: Tensor) -> None:
    """Multiply some rows of clips [batch, time] by gains [row, time]: for few, quicker than by an index."""
    for row, of_row in zip(rows, gain, strict=True):
        clips[row] *= of_row


def active_power(clips: Tensor, sample_rate: int) -> Tensor:
    """Mean square of clips [batch, time] over the 20 ms frames within 40 dB of the loudest: [batch]."""
    frame = sample_rate // 50
    power = clips[:, : clips.shape[1] // frame * frame].unflatten(1, (-1, frame)).square().mean(2)
    active = power >= power.amax(1, keepdim=True) * 1e-4
    return (power * active).sum(1) / active.sum(1)


def _fast_length(at_least: int) -> int:
    """The next length that is a product of twos, threes and fives: quick to transform."""
    best = 1 << (at_least - 1).bit_length()
    fives = 1
    while fives < best:
        threes = fives
        while threes < best:
            quotient = -(-at_least // threes)
            best = min(best, threes * (1 << (quotient - 1).bit_length()))
            threes *= 3
        fives *= 5
    return best if best % 2 == 0 else best + best
