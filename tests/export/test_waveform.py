"""Features of samples in the form for one frame: what the network computes."""

from __future__ import annotations

import torch

from sese.export.forms.tracing import for_tracing
from sese.nn.features.waveform import WaveformFeatures
from sese.nn.state import fresh

HOP, LEVEL_FRAMES = 64, 25


def test_one_frame_is_levelled_as_many_are() -> None:
    """Through an offset, digital silence, a drop of 60 dB, and a silence after which all is forgotten."""
    features = WaveformFeatures(HOP, 1, LEVEL_FRAMES)
    torch.manual_seed(0)
    sound = 0.1 * torch.randn(2, 40 * HOP) + 0.02
    silence, faint = torch.zeros(2, 5 * HOP), torch.full((2, HOP), 0.9e-7)
    beep = torch.sin(torch.arange(10.0 * HOP)).expand(2, -1)
    long = torch.zeros(2, 400 * HOP)
    audio = torch.cat([silence, sound, faint, silence, beep, 1e-3 * sound, long, sound], dim=1)
    audio[1] *= 0.3
    shapes = features.state_shapes()
    expected = features(audio, fresh(shapes, 2, audio))
    formed, state = for_tracing(features, many=False), fresh(shapes, 2, audio)
    signals, levels = [], []
    for frame in audio.split(HOP, dim=1):
        signal, level, state = formed(frame, state)
        signals.append(signal)
        levels.append(level)
    torch.testing.assert_close(torch.cat(signals, dim=1), expected[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(torch.cat(levels, dim=1), expected[1], rtol=1e-5, atol=1e-6)
    for name, value in expected[2].items():
        torch.testing.assert_close(state[name], value, rtol=1e-4, atol=1e-7)
