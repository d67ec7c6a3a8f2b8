"""Hashing: neighbours by a search of one's own, levels that are the first bits, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sese.core.errors import InputError
from sese.nn.backbones.boosted_hashing import BoostedHashingConfig
from sese.nn.layers.packed_bits import pack, unpack

CONFIG = BoostedHashingConfig(n_fft=64, hop_length=32, bits=(5, 9, 20), frames=40, neighbours=3)


def test_bits_are_packed_as_numpy_packs_them():
    bits = torch.rand(7, 21) < 0.5
    packed = pack(bits)
    assert np.array_equal(packed.numpy(), np.packbits(bits.numpy(), axis=1, bitorder="little"))
    assert torch.equal(unpack(packed, 21), bits.float())
    assert torch.equal(unpack(packed, 9), bits[:, :9].float())


@pytest.mark.parametrize("level", range(3))
def test_masks_are_means_of_the_nearest_by_plain_counting(level: int):
    torch.manual_seed(0)
    backbone = CONFIG.build().backbone
    frames, count = torch.rand(1, 11, backbone.bins), CONFIG.bits[level]
    made, after = backbone(frames.flatten(1), {"bits": level + 1}, {})
    assert after == {}
    codes = unpack(backbone.codes, count).int().tolist()
    masks = unpack(backbone.masks, backbone.bins).numpy()
    for heard, mask in zip(frames[0], made.unflatten(1, (11, -1))[0], strict=True):
        x = heard.tolist()
        norm = sum(v * v for v in x) ** 0.5
        bits = []
        for row in backbone.projections.tolist()[:count]:
            bits.append(int(sum(p * v / norm for p, v in zip(row, x, strict=False)) + row[-1] >= 0))
        far = [sum(a != b for a, b in zip(bits, code, strict=True)) for code in codes]
        nearest = sorted(range(len(codes)), key=lambda n: (far[n], n))[: CONFIG.neighbours]
        np.testing.assert_allclose(mask.numpy(), masks[nearest].mean(0), atol=1e-6)


def test_long_clips_are_searched_in_parts_with_the_same_result():
    backbone = CONFIG.build().backbone
    frames = torch.rand(2, 600, backbone.bins)
    whole, _ = backbone(frames.flatten(1), {"bits": 3}, {})
    parts = [backbone(part.flatten(1), {"bits": 3}, {})[0] for part in frames.split(100, dim=1)]
    assert torch.equal(whole, torch.cat(parts, dim=1))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bits": (5, 5)}, r"model\.bits is \[5, 5\]"),
        ({"bits": ()}, r"model\.bits is \[\]"),
        ({"frames": 5}, r"model\.frames is 5; use 10 to 83886"),
        ({"frames": 100_000}, r"model\.frames is 100000"),
        ({"neighbours": 0}, r"model\.neighbours is 0"),
        ({"compression": 0}, r"model\.compression is 0"),
        ({"n_fft": 500}, r"model\.n_fft is 500"),
    ],
)
def test_refused_values(values, message):
    with pytest.raises(InputError, match=message):
        BoostedHashingConfig(**values)
