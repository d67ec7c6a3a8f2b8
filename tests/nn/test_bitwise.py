"""Bitwise layers and networks; packed ones are in tests/compression."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from contract import BackboneContract, audio, build
from sese.core.errors import InputError
from sese.nn.backbones.bitwise import BitwiseConfig
from sese.nn.layers.bitwise import Binarisation, BitwiseGRU, BitwiseLinear, kept_and_scale, sign, step

TINY = {"n_fft": 64, "hop_length": 32, "hidden": 48}


@pytest.mark.parametrize(
    "config",
    [
        BitwiseConfig(**TINY, sparsity=0.0, output="soft"),
        BitwiseConfig(**TINY, sparsity=0.5, layers=2),
        BitwiseConfig(**TINY, binary=False),
        BitwiseConfig(**TINY, recurrent=False, layers=2, sparsity=0.0, output="soft"),
    ],
    ids=["gru", "gru-sparse", "gru-float", "dense"],
)
class TestContract(BackboneContract):
    """There is one level, so what compares levels or learns masks of them does not apply."""

    test_a_decision_acts_from_its_frame_on = None
    test_masked_equals_sliced = None
    test_gradients_reach_every_mask = None

    def test_reset_rows_equal_fresh_ones(self, config):
        if not config.recurrent:
            pytest.skip("a network without memory resets in the features alone")
        super().test_reset_rows_equal_fresh_ones(config)

    def test_louder_in_louder_out(self, config):
        """Far above the floor of the level, which a code that lies on a threshold would hear."""
        model = build(config)
        x = 50 * audio(model, 12)
        once, fourfold = model(x).audio, model(4 * x).audio
        assert (fourfold - 4 * once).norm() < 0.01 * fourfold.norm()


def test_the_published_network_has_the_published_weights():
    model = BitwiseConfig().build()
    assert model.backbone.inputs == 2052
    assert model.macs()[1] == {"whole": [9_669_000]}
    assert sum(p.numel() for name, p in model.named_parameters() if name.endswith("weight")) == 9_669_000


# How things come to be bits


def test_shares_are_drawn_by_element():
    soft, hard = torch.zeros(100, 100), torch.ones(100, 100)
    for share in (0.0, 0.1, 0.7, 1.0):
        drawn = Binarisation(share, torch.Generator().manual_seed(0)).mix(soft, hard)
        assert float(drawn.mean()) == pytest.approx(share, abs=0.02)
    again = [Binarisation(0.5, torch.Generator().manual_seed(1)).mix(soft, hard) for _ in range(2)]
    assert torch.equal(*again), "a generator decides, so that runs can be repeated"


def test_hard_values_have_the_gradients_of_soft_ones():
    x = torch.tensor([-2.0, -0.1, 0.0, 0.3, 1.5], requires_grad=True)
    hard = Binarisation(1.0)
    y = hard.bipolar(x)
    assert y.tolist() == [-1, -1, 1, 1, 1]
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(slope, 1 - torch.tanh(x.detach()) ** 2)
    y = hard.gate(x)
    assert y.tolist() == [0, 0, 1, 1, 1]
    (slope,) = torch.autograd.grad(y.sum(), x)
    s = torch.sigmoid(x.detach())
    torch.testing.assert_close(slope, 2 * s * (1 - s))


def test_the_smallest_weights_are_left_out_and_the_rest_have_one_size():
    weight = torch.tensor([[0.1, -0.9, 0.3], [-0.2, 0.8, -0.05]])
    made = Binarisation(1.0).weight(weight, 0.5)
    size = torch.tanh(torch.tensor([0.9, 0.3, 0.8])).mean()
    torch.testing.assert_close(made, size * torch.tensor([[0.0, -1, 1], [0, 1, 0]]))
    kept, scale = kept_and_scale(torch.tanh(weight), 0.0)
    assert kept.all()
    assert scale == pytest.approx(float(torch.tanh(weight).abs().mean()))


def test_a_hard_layer_decides_as_its_weights_and_bias_do():
    torch.manual_seed(0)
    layer = BitwiseLinear(40, 200, 0.3)
    layer.bias.data.normal_(0, 0.2)
    bits, x = layer.bits(), sign(torch.randn(300, 40))
    sums = F.linear(x, bits.weight, bits.offset)
    assert (sums.abs() >= 0.5).all()
    assert torch.equal(sums % 1, torch.full_like(sums, 0.5))
    expected = F.linear(x.double(), bits.weight.double() * bits.scale.double(), layer.bias.detach().double())
    assert torch.equal(step(sums), step(expected).float())
    assert 0.2 < float(step(sums).mean()) < 0.8


def test_the_soft_gru_is_pytorchs_own_with_the_reset_gate_open():
    """PyTorch resets behind the product; where the reset gate is open both are the same."""
    torch.manual_seed(0)
    layer, theirs = BitwiseGRU(5, 7), torch.nn.GRU(5, 7, batch_first=True)
    with torch.no_grad():
        layer.gates.bias[:7] = 50.0
        both, new = torch.tanh(layer.gates.weight), torch.tanh(layer.candidate.weight)
        # Their update gate says what is kept.
        theirs.weight_ih_l0.copy_(torch.cat([both[:7, :5], -both[7:, :5], new[:, :5]]))
        theirs.weight_hh_l0.copy_(torch.cat([both[:7, 5:], -both[7:, 5:], new[:, 5:]]))
        reset, update = layer.gates.bias.chunk(2)
        theirs.bias_ih_l0.copy_(torch.cat([reset, -update, layer.candidate.bias]))
        theirs.bias_hh_l0.zero_()
        x, h = torch.randn(3, 9, 5), torch.randn(3, 1, 7)
        made, last = layer(x, h, Binarisation())
        expected, end = theirs(x, h.transpose(0, 1).contiguous())
    torch.testing.assert_close(made, expected)
    torch.testing.assert_close(last, end.transpose(0, 1))


def test_codes_say_between_which_thresholds_a_power_lies():
    model = BitwiseConfig(**TINY, code_bits=3).build()
    features = model.features
    features.thresholds.copy_(torch.tensor([-3.0, -2, -1, 0, 1, 2, 3]))
    powers = torch.tensor([-9.0, -3.5, -3.0, -2.9, -0.5, 0.5, 3.5])
    numbers = features.components(powers)
    assert numbers.tolist() == [0, 0, 0, 1, 3, 4, 7]
    bits = features.codebook[numbers]
    assert set(bits.flatten().tolist()) == {-1, 1}
    assert ((bits + 1) / 2 @ torch.tensor([1.0, 2, 4])).tolist() == numbers.tolist()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden": 0}, r"model\.hidden is 0"),
        ({"n_fft": 512}, r"model\.n_fft is 512; use a multiple of 64 and two hops, 1024"),
        ({"code_bits": 9}, r"model\.code_bits is 9"),
        ({"sparsity": 1.0}, r"model\.sparsity is 1"),
        ({"output": "loud"}, r"model\.output is 'loud'; choose from soft, hard"),
        ({"level_seconds": 0}, r"model\.level_seconds is 0"),
    ],
)
def test_refused_values(values, message):
    with pytest.raises(InputError, match=message):
        BitwiseConfig(**values)
