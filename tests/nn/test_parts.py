"""Test the attributes that the four parts of an enhancer declare, and the errors for wrong ones."""

from __future__ import annotations

import pytest
import torch

from sese.export.forms.tracing import FORMS, form_of
from sese.nn.backbones.conv_fsenet import ConvFSENetConfig
from sese.nn.backbones.gated_mixer import GatedMixerConfig
from sese.nn.layers.grouped_gru import GroupedGRU
from sese.nn.layers.held import HeldGRU
from sese.nn.parts import Backbone, Features, Head, Part, Policy
from sese.nn.plan import REST, Site
from sese.nn.policies.activity import Activity
from sese.nn.policies.channel_gates import ChannelGates
from sese.nn.policies.gate import Gate
from sese.nn.policies.router import Router

SIZES = {"channels": 8, "hidden": 8, "stacks": 1, "blocks": 2}


@pytest.mark.parametrize("kind", [Part, Features, Policy, Backbone, Head])
def test_a_part_that_lacks_a_method_is_refused(kind: type[Part]):
    with pytest.raises(TypeError, match="abstract"):
        type("Partial", (kind,), {})()


@pytest.mark.parametrize(
    ("policy", "inside", "rests"),
    [
        (Router(8, 3), False, False),
        (Gate(8, 3), False, False),
        (Activity(8, 4), False, True),
        (ChannelGates(2, 8, 4, 3), True, False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_policy_decides_at_one_place(policy: Policy, inside: bool, rests: bool):
    assert (policy.inside_backbone, policy.rests) == (inside, rests)
    x = torch.zeros(1, 2, 8)
    if inside:
        assert policy.gate(0, x).shape == policy.joint_gate(0, x).shape == (1, 2, 3)
        with pytest.raises(NotImplementedError, match="inside the backbone"):
            policy(x, {})
    else:
        for gate in (policy.gate, policy.joint_gate):
            with pytest.raises(NotImplementedError, match="before the backbone"):
                gate(0, x)


def test_an_enhancer_tells_of_its_policy():
    without = ConvFSENetConfig(**SIZES).build()
    gated = ConvFSENetConfig(**SIZES, gate_channels=4).build()
    resting = GatedMixerConfig(activity_units=4).build()
    assert [(model.gated, model.rests) for model in (without, gated, resting)] == [
        (False, False),
        (True, False),
        (False, True),
    ]


def test_a_plan_of_rest_has_the_gain():
    choice = torch.tensor([[[0.0, 1.0, 0.0], [0.0, 0.0, 0.3]]])  # the second level, then rest
    plan = Activity(8, 4).plan(choice, [Site("scale", (0.5, 0.5))])
    assert plan["scale"].tolist() == [[[1, 1], [0, 0]]]
    torch.testing.assert_close(plan[REST], torch.tensor([[0.0, 0.3]]))


def test_a_backbone_says_what_it_cannot_do():
    backbone = GatedMixerConfig().build().backbone
    with pytest.raises(NotImplementedError, match="GatedMixer has no blocks"):
        backbone.gated(torch.zeros(1, 1), lambda block, x: x, {})
    with pytest.raises(NotImplementedError, match="ConvFSENet cannot rest"):
        ConvFSENetConfig(**SIZES).build().backbone.at_rest(*[torch.zeros(1, 1)] * 3, {})


def test_a_form_holds_for_classes_that_inherit():
    layer = HeldGRU(4, 6)
    assert HeldGRU not in FORMS
    assert set(form_of(layer, many=True)) == set(form_of(GroupedGRU(6, 1, 1), many=True)) == {"forward"}
    assert form_of(torch.nn.Linear(2, 2), many=True) == {}
