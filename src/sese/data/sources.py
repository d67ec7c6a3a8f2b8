"""Speech and noise of mixtures before any filter, gain or disturbance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from sese.data import effects
from sese.data.clip_assembly import DeviceBank
from sese.data.conversations import Turn
from sese.data.mix_config import MixConfig
from sese.data.mixture_spec import LoudSound, MixtureSpec

FADE_S = 0.005  # at both ends of an utterance, which lies in digital silence
SPEECH_FLOOR = 1e-6
"""Power of -60 dBFS. Weaker speech is a pause, and is not raised to the level of speech."""

NOISE_FLOOR = 1e-8
"""Power of -80 dBFS. Weaker noise is a gap of the recording."""


class Sources:
    """Assemble the speech and the noise of mixtures.

    Args:
        config: Length of a clip and sample rate.
        speech, noise: Banks.
        device: Device of the clips.
    """

    def __init__(self, config: MixConfig, speech: DeviceBank, noise: DeviceBank, device: torch.device):
        self.speech_bank, self.noise_bank = speech, noise
        self.time, self.rate, self.device = config.time, config.sample_rate, device
        self.fade = round(FADE_S * config.sample_rate)

    def speech(self, specs: Sequence[MixtureSpec]) -> Tensor:
        """Return utterances or conversations at their positions: [batch, time]."""
        talks = [row for row, spec in enumerate(specs) if spec.turns is not None]
        if talks:
            clips = torch.zeros(len(specs), self.time, device=self.device)
            others = [row for row, spec in enumerate(specs) if spec.turns is None]
            if others:
                clips[others] = self.speech_bank.assemble(
                    [specs[row].speech for row in others], self.time, self.fade
                )
            clips[talks] = self._conversations([specs[row].turns or () for row in talks])
        else:
            clips = self.speech_bank.assemble([spec.speech for spec in specs], self.time, self.fade)
        sounds = {row: spec.loud_before for row, spec in enumerate(specs) if spec.loud_before is not None}
        if sounds:
            multiply(clips, sounds, self.outside(list(sounds.values())))
        return clips * self.tensor([0.0 if spec.silent else 1.0 for spec in specs])[:, None]

    def _conversations(self, turns: Sequence[tuple[Turn, ...]]) -> Tensor:
        """Return the turns of each conversation, each piece at its gain: [row, time]."""
        clips = torch.zeros(len(turns), self.time, device=self.device)
        pieces = [
            (row, piece) for row, row_turns in enumerate(turns) for turn in row_turns for piece in turn.pieces
        ]
        if pieces:
            audio = self.speech_bank.assemble([[piece[:4]] for _, piece in pieces], self.time, self.fade)
            audio *= self.tensor([piece.gain for _, piece in pieces])[:, None]
            clips.index_add_(0, torch.tensor([row for row, _ in pieces], device=self.device), audio)
        return clips

    def noise(self, specs: Sequence[MixtureSpec]) -> Tensor:
        """Return the first noise or babble at unit power, plus the weaker second, if any: [batch, time]."""
        noises = [
            (row, *noise)
            for row, spec in enumerate(specs)
            for noise in (spec.noise[1:] if spec.babble else spec.noise)
        ]
        audio = self.repeated(self.noise_bank, noises)
        audio *= self.gains(audio.square().mean(1).clamp(min=NOISE_FLOOR), [noise[3] for noise in noises])
        babbling = [row for row, spec in enumerate(specs) if spec.babble]
        if len(noises) == len(specs) and not babbling:
            return audio
        row = torch.tensor([noise[0] for noise in noises], dtype=torch.int64, device=self.device)
        total = torch.zeros(len(specs), self.time, device=self.device).index_add_(0, row, audio)
        if babbling:
            total[babbling] += self._babble([specs[row] for row in babbling])
        return total

    def _babble(self, specs: Sequence[MixtureSpec]) -> Tensor:
        """Return the sum of the voices of each specification, at unit power: [row, time]."""
        voices = [(row, *voice) for row, spec in enumerate(specs) for voice in spec.babble]
        audio = self.repeated(self.speech_bank, voices)
        # The level is that of the active part, so that a voice with long pauses is not louder.
        power = active_power(audio, self.rate).clamp(min=SPEECH_FLOOR)
        audio *= self.gains(power, [voice[3] for voice in voices])
        row = torch.tensor([voice[0] for voice in voices], device=self.device)
        babble = torch.zeros(len(specs), self.time, device=self.device).index_add_(0, row, audio)
        return babble / babble.square().mean(1, keepdim=True).clamp(min=NOISE_FLOOR).sqrt()

    def repeated(self, bank: DeviceBank, parts: Sequence[tuple[int, int, int, float]]) -> Tensor:
        """Return parts of recordings, which are repeated where they are shorter than the clip.

        Args:
            bank: Bank of the recordings.
            parts: Row, recording, first sample, and level of each part; row and level are ignored here.

        Returns:
            Clips, float32 [part, time].
        """
        if not parts:
            return torch.zeros(0, self.time, device=self.device)
        clips = []
        for _, recording, first, _ in parts:
            length = int(bank.bank.lengths[recording])
            clips.append([(recording, begin) for begin in range(-first, self.time, length)])
        return bank.assemble(clips, self.time, self.fade)

    def loud_sound(self, sound: LoudSound) -> Tensor:
        """Return the clip [time] of a loud sound, before its gain; it does not stop where the sound ends."""
        if sound.kind == "beep":
            return effects.sines([[(sound.hertz, 1.0, sound.phase)]], self.time, self.rate, self.device)[0]
        bank = self.noise_bank if sound.kind == "noise" else self.speech_bank
        return self.repeated(bank, [(0, sound.recording, sound.first, 0.0)])[0]

    def outside(self, sounds: Sequence[LoudSound]) -> Tensor:
        """Return gains [row, time] that are 0 during loud sounds and 1 elsewhere."""
        return effects.gaps(
            [[(sound.begin, sound.length)] for sound in sounds], self.time, self.fade, self.device
        )

    def gains(self, power: Tensor, level_db: Sequence[float]) -> Tensor:
        """Return the gains [row, 1] that bring clips of these powers [row] to these levels in dB."""
        return (10.0 ** (self.tensor(level_db) / 20) / power.sqrt())[:, None]

    def tensor(self, values: Sequence[float]) -> Tensor:
        """Return values as float32 on the device."""
        return torch.tensor(values, dtype=torch.float32, device=self.device)


def multiply(clips: Tensor, rows: Iterable[int], gain: Tensor) -> None:
    """Multiply some rows of clips in place.

    A loop is faster than indexing with a list, because there are few rows.

    Args:
        clips: Clips [batch, time].
        rows: Rows to multiply.
        gain: Gain of each of these rows, [row, time].
    """
    for row, row_gain in zip(rows, gain, strict=True):
        clips[row] *= row_gain


def active_power(clips: Tensor, sample_rate: int) -> Tensor:
    """Return the mean square of the active frames: the 20 ms frames within 40 dB of the loudest.

    Args:
        clips: Clips [batch, time].
        sample_rate: Sample rate in Hz.

    Returns:
        Power [batch].
    """
    frame = sample_rate // 50
    power = clips[:, : clips.shape[1] // frame * frame].unflatten(1, (-1, frame)).square().mean(2)
    active = power >= power.amax(1, keepdim=True) * 1e-4
    return (power * active).sum(1) / active.sum(1)
