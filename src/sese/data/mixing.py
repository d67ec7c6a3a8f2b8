"""Noisy mixtures with their clean targets, computed on demand, a batch at a time, on any device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sese.core.errors import InputError
from sese.data import effects
from sese.data.bank import Bank
from sese.data.clip_assembly import DeviceBank
from sese.data.filters import Filters
from sese.data.mix_config import MixConfig
from sese.data.mixture_sampler import MixtureSampler
from sese.data.mixture_spec import MixtureSpec
from sese.data.sources import NOISE_FLOOR, SPEECH_FLOOR, Sources, active_power, multiply

PEAK = 0.99
"""Highest absolute sample of a mixture."""


class Mixture(NamedTuple):
    """A batch of noisy mixtures with their clean targets.

    Attributes:
        noisy, clean: Clips, float32 [batch, 1, time] in [-1, 1].
        snr_db: Ratio of speech to noise in the part with noise, before any clipping, change of level or gap,
            float32 [batch]; -inf without speech.
        label: Label of each mixture of a labelled pool (`sese.data.labelled_pool`), or its class
            (`sese.training.methods.experts`), float32 [batch].
        speaker: Index of the speaker in `Bank.group_names` of the speech, int64 [batch].
    """

    noisy: Tensor
    clean: Tensor
    snr_db: Tensor
    label: Tensor | None = None
    speaker: Tensor | None = None


class Mixer:
    """Compute examples from their indices.

    Example i depends only on the seed, on i and on the banks. It does not depend on the batch it is in, nor,
    but for rounding, on the device. Utterances begin and end with fades of 5 ms; short noises are repeated.

    The SNR of a mixture is the power of the active part of the clean signal (`active_power`), divided by the
    power of the noise, over the part with noise. It is that before clipping, changes of level, mu-law and
    gaps.

    Args:
        config: How examples are computed.
        speech: Bank of speech.
        noise: Bank of noise.
        rir: Bank of room responses, if any.
        seed: Seed, 0 to 2**63 - 1.
        device: Device of the examples.
        sampler: Class that draws the specification of each example.

    Raises:
        InputError: A bank has another sample rate than the configuration, or the seed is out of range.
    """

    def __init__(
        self,
        config: MixConfig,
        speech: Bank,
        noise: Bank,
        rir: Bank | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
        sampler: type[MixtureSampler] = MixtureSampler,
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
        self.sampler = sampler(config, speech, noise, rir, seed)
        self.speech, self.noise = DeviceBank(speech, self.device), DeviceBank(noise, self.device)
        self.rir = DeviceBank(rir, self.device) if rir is not None else None
        self.sources = Sources(config, self.speech, self.noise, self.device)
        self.filters = Filters(config, self.rir, self.device)

    @torch.no_grad()
    def __call__(self, indices: Sequence[int] | Tensor, snr_db: Sequence[float] | None = None) -> Mixture:
        """Compute examples.

        Args:
            indices: Indices of the examples, each 0 or more.
            snr_db: SNR of each example in dB, in place of the one drawn for it.
        """
        specs = [self.sampler(int(i)) for i in indices]
        snr = self._tensor(snr_db if snr_db is not None else [spec.snr_db for spec in specs])
        clean = self.sources.speech(specs)
        noise = self.sources.noise(specs)
        clean, reverberant, noise = self.filters(specs, clean, noise)
        noisy_share = self._interrupt(specs, noise)

        level = 10.0 ** (self._tensor([spec.speech_dbfs for spec in specs]) / 20)
        power = active_power(clean, self.config.sample_rate)
        noise_power = noise.square().mean(1) / noisy_share
        # Speech below its floor gets the gain of speech at the floor, so its SNR is lower than drawn.
        speech_gain = level / power.clamp(min=SPEECH_FLOOR).sqrt()
        noise_gain = level * 10.0 ** (-snr / 20) / noise_power.clamp(min=NOISE_FLOOR).sqrt()
        # Without noise the SNR is large but finite, so that silence in silence is -inf and not NaN.
        noise_level = (noise_power * noise_gain**2).clamp(min=1e-20)
        true_snr = 10 * (torch.log10(power * speech_gain**2) - torch.log10(noise_level))
        clean = clean * speech_gain[:, None]
        noisy = reverberant * speech_gain[:, None] + noise * noise_gain[:, None]
        self._add_loud_sounds(specs, level, noisy, clean)
        self._add_rumble(specs, level, noisy)
        self._change_level(specs, noisy, clean)
        noisy, clean = self._limit(specs, noisy, clean)
        self._transmit(specs, noisy, clean)
        speaker = torch.from_numpy(self.speech.bank.groups[[spec.speech[0][0] for spec in specs]])
        return Mixture(noisy[:, None], clean[:, None], true_snr, speaker=speaker.to(self.device))

    def _tensor(self, values: Sequence[float]) -> Tensor:
        return self.sources.tensor(values)

    def _interrupt(self, specs: Sequence[MixtureSpec], noise: Tensor) -> Tensor:
        """Silence parts of the noise [batch, time] in place, and return the share of power left: [batch]."""
        share = torch.ones(len(specs), device=self.device)
        positions = {row: spec.drop_in for row, spec in enumerate(specs) if spec.drop_in is not None}
        faded: dict[int, Tensor] = {}
        if positions:
            gain = effects.fades(list(positions.values()), self.config.time, self.device)
            multiply(noise, positions, gain)
            share[list(positions)] = gain.square().mean(1)
            faded = dict(zip(positions, gain, strict=True))
        without = {row: [spec.no_noise] for row, spec in enumerate(specs) if spec.no_noise is not None}
        if without:
            gain = effects.gaps(list(without.values()), self.config.time, self.sources.fade, self.device)
            multiply(noise, without, gain)
            for row, row_gain in zip(without, gain, strict=True):
                left = row_gain * faded[row] if row in faded else row_gain
                share[row] = left.square().mean().clamp(min=1e-3)  # the two together may leave nothing
        return share

    def _add_loud_sounds(
        self, specs: Sequence[MixtureSpec], level: Tensor, noisy: Tensor, clean: Tensor
    ) -> None:
        """Add loud sounds in place: voices to noisy and clean [batch, time], other sounds to noisy alone.

        Args:
            specs: Specification of each mixture.
            level: RMS of the active speech, [batch].
            noisy, clean: Clips [batch, time].
        """
        rate = self.config.sample_rate
        for row, spec in enumerate(specs):
            sound = spec.loud_before
            if sound is None:
                continue
            clip = self.sources.loud_sound(sound)
            during = slice(sound.begin, max(sound.begin + sound.length, rate // 50))  # at least one frame
            # Like that of the speech, the level is that of the active part.
            power = active_power(clip[None, during], rate)[0].clamp(min=SPEECH_FLOOR)
            gain = level[row] * 10 ** (sound.above_db / 20) / power.sqrt()
            clip = clip * gain * (1 - self.sources.outside([sound])[0])
            for side in (noisy, clean) if sound.kind == "voice" else (noisy,):
                side[row] += clip

    def _add_rumble(self, specs: Sequence[MixtureSpec], level: Tensor, noisy: Tensor) -> None:
        """Add hum or rumble to the noisy signal [batch, time] in place; `level` as in `_add_loud_sounds`."""
        rumbles = {row: spec.rumble for row, spec in enumerate(specs) if spec.rumble is not None}
        if rumbles:
            partials = [rumble.partials for rumble in rumbles.values()]
            clips = effects.sines(partials, self.config.time, self.config.sample_rate, self.device)
            power = clips.square().mean(1).clamp(min=NOISE_FLOOR)
            clips *= self.sources.gains(power, [rumble.above_db for rumble in rumbles.values()])
            for row, clip in zip(rumbles, clips, strict=True):
                noisy[row] += clip * level[row]

    def _change_level(self, specs: Sequence[MixtureSpec], noisy: Tensor, clean: Tensor) -> None:
        """Change the gain of noisy and clean [batch, time] in place."""
        for drawn in ([spec.level_change for spec in specs], [spec.level_step for spec in specs]):
            changes = {row: change for row, change in enumerate(drawn) if change is not None}
            if changes:
                gain = effects.level_changes(list(changes.values()), self.config.time, self.device)
                multiply(noisy, changes, gain)
                multiply(clean, changes, gain)

    def _limit(self, specs: Sequence[MixtureSpec], noisy: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
        """Clip the noisy signal, and scale noisy and clean [batch, time] down to the highest peak allowed."""
        limit = self._tensor([spec.clip for spec in specs]) * noisy.abs().amax(1)
        noisy = torch.minimum(torch.maximum(noisy, -limit[:, None]), limit[:, None])
        peak = torch.maximum(limit, clean.abs().amax(1))
        scale = PEAK / peak.clamp(min=PEAK)
        for row, spec in enumerate(specs):
            if spec.offset:  # leave room for it
                room = (PEAK - abs(spec.offset)) / peak[row].clamp(min=1e-9)
                scale[row] = torch.minimum(scale[row], room)
        return noisy * scale[:, None], clean * scale[:, None]

    def _transmit(self, specs: Sequence[MixtureSpec], noisy: Tensor, clean: Tensor) -> None:
        """Apply mu-law, gaps, offsets and digital zeros to noisy and clean [batch, time] in place."""
        coded = [row for row, spec in enumerate(specs) if spec.mu_law]
        if coded:
            noisy[coded] = effects.mu_law(noisy[coded])
        gaps = {row: spec.gaps for row, spec in enumerate(specs) if spec.gaps}
        if gaps:
            fade = round(effects.GAP_FADE_S * self.config.sample_rate)
            gain = effects.gaps(list(gaps.values()), self.config.time, fade, self.device)
            multiply(noisy, gaps, gain)
            multiply(clean, gaps, gain)
        for row, spec in enumerate(specs):
            if spec.offset:
                noisy[row] += spec.offset
            if spec.zeros is not None:
                begin, length = spec.zeros
                for side in (noisy, clean):
                    side[row, begin : begin + length] = 0.0
