"""The main path: audio -> features -> policy -> backbone -> head -> audio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.core.errors import InputError
from sese.nn.parts import Backbone, EveryLevel, Features, Head, Part, Policy
from sese.nn.plan import Plan, Site, check, full
from sese.nn.policies.choice import Choose, best
from sese.nn.policies.fixed import level_plans
from sese.nn.state import State, fresh


@dataclass(frozen=True)
class Enhanced:
    """Result of an enhancer.

    Attributes:
        audio: (batch, 1, time) in float32, late by the enhancer's `lookahead_samples`.
        plan: what ran.
        state: argument of the call for the next chunk.
        scores: (batch, frame, level) of the policy, where it decided before the backbone.
    """

    audio: Tensor
    plan: Plan
    state: dict[str, Tensor]
    scores: Tensor | None = None


class Enhancer(nn.Module):
    """Features, policy, backbone and head of one system, at one sample rate, streamed by its state.

    Args:
        features: computes the signal, the context and the evidence.
        backbone: enhances the signal.
        head: computes the waveform.
        sample_rate: of the audio, in Hz.
        hop_length: samples a frame; chunks are multiples of it.
        lookahead_samples: samples by which the output is late against the input.
        policy: decides what runs where a call has no plan; None for a model that then runs everything.

    Raises:
        InputError: a policy on a backbone whose sites have different numbers of units.
    """

    def __init__(
        self,
        features: Features,
        backbone: Backbone,
        head: Head,
        sample_rate: int,
        hop_length: int,
        lookahead_samples: int,
        policy: Policy | None = None,
    ):
        super().__init__()
        self.features: Features = features
        self.backbone: Backbone = backbone
        self.head: Head = head
        self.policy: Policy | None = policy
        if policy is not None and len({site.units for site in self.sites}) != 1:
            raise InputError("a policy needs a backbone whose sites all have the same number of units")
        self.sample_rate, self.hop_length = sample_rate, hop_length
        self.lookahead_samples = lookahead_samples

    @property
    def latency_samples(self) -> int:
        """Samples from a sample's arrival to its enhanced version: the lookahead and one frame."""
        return self.lookahead_samples + self.hop_length

    @property
    def sites(self) -> tuple[Site, ...]:
        """Places where compute can be left out."""
        return self.backbone.sites

    @property
    def gated(self) -> bool:
        """Whether the model has a policy that decides inside the backbone."""
        return self.policy is not None and self.policy.inside_backbone

    @property
    def rests(self) -> bool:
        """Whether the model has a policy that lets frames rest."""
        return self.policy is not None and self.policy.rests

    @property
    def choose(self) -> Choose:
        """Choice of a level without a budget."""
        return best if self.policy is None else self.policy.free_choice(self.sites[0].units)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of all states behind the batch axis; a name starts with the part's name."""
        return {
            f"{part}.{name}": shape
            for part, module in self._parts().items()
            for name, shape in module.state_shapes().items()
        }

    def forward(
        self,
        audio: Tensor,
        plan: Plan | None = None,
        state: State | None = None,
        choose: Choose | None = None,
    ) -> Enhanced:
        """Enhance a chunk; a whole clip is one long chunk.

        Args:
            audio: (batch, 1, time) in [-1, 1] at `sample_rate`, time a multiple of `hop_length`.
            plan: what runs; when None the policy decides, and without a policy everything runs.
            state: state that the call for the chunk before returned; None at the start of a stream.
            choose: turns the policy's scores into levels; None for the choice without a budget.

        Raises:
            InputError: wrong shape, or a plan that does not match the sites.
        """
        if audio.ndim != 3 or audio.shape[1] != 1 or audio.shape[2] == 0 or audio.shape[2] % self.hop_length:
            raise InputError(
                f"audio has shape {tuple(audio.shape)}; expected (batch, channel=1, time) with time a "
                f"positive multiple of the hop of {self.hop_length} samples (pad it, or use `enhance_clip`)"
            )
        batch, frames = audio.shape[0], audio.shape[2] // self.hop_length
        state = fresh(self.state_shapes(), batch, audio) if state is None else state
        after: dict[str, dict[str, Tensor]] = {}
        scores, policy = None, self.policy

        audio = audio.squeeze(1)
        signal, context, after["features"] = self.features(audio, _part(state, "features"))
        if policy is not None:
            after["policy"] = _part(state, "policy")
        if plan is None and policy is not None and not policy.inside_backbone:
            evidence = self.features.evidence(audio, signal, context)
            scores, after["policy"]["gru"] = policy(evidence, after["policy"])
            choice, after["policy"]["memory"] = (choose or self.choose)(scores, after["policy"]["memory"])
            plan = policy.plan(choice, self.sites)
        if plan is None and policy is not None:  # a gate needs the output of the blocks before its own
            hidden, plan, after["backbone"] = self.backbone.gated(
                signal, policy.gate, _part(state, "backbone")
            )
        else:
            plan = full(self.sites) if plan is None else plan
            check(plan, self.sites, batch, frames)
            hidden, after["backbone"] = self.backbone(signal, plan, _part(state, "backbone"))
        output, after["head"] = self.head(hidden.float(), context, _part(state, "head"))

        merged = {f"{part}.{name}": after[part][name] for part in self._parts() for name in after[part]}
        return Enhanced(output.unsqueeze(1), plan, merged, scores)

    def run_clip(self, audio: Tensor, plan: Plan | None = None, choose: Choose | None = None) -> Enhanced:
        """Enhance whole clips of any length; the audio has the input's shape and is aligned with it."""
        time = audio.shape[-1]
        whole = self(F.pad(audio, (0, self.padding(time))), plan, None, choose)
        return replace(whole, audio=whole.audio[..., self.lookahead_samples : self.lookahead_samples + time])

    def enhance_clip(self, audio: Tensor, plan: Plan | None = None) -> Tensor:
        """Enhance whole clips of any length: (batch, 1, time) -> the same shape, aligned with the input."""
        return self.run_clip(audio, plan).audio

    def enhance_levels(self, audio: Tensor, levels: Sequence[int]) -> list[Tensor]:
        """Enhance whole clips at each of some levels, as `enhance_clip` does.

        A backbone in which one pass gives the outputs of all levels (`EveryLevel`) runs once.

        Args:
            audio: (batch, 1, time).
            levels: numbers of the levels, 0 the lowest.

        Returns:
            (batch, 1, time) for each of the levels, in their order.
        """
        backbone = self.backbone
        if len(levels) == 1 or not isinstance(backbone, EveryLevel):
            plans = level_plans(self)
            return [self.enhance_clip(audio, plans[level]) for level in levels]
        time = audio.shape[-1]
        audio = F.pad(audio, (0, self.padding(time))).squeeze(1)
        state = fresh(self.state_shapes(), audio.shape[0], audio)
        signal, context, _ = self.features(audio, _part(state, "features"))
        every = backbone.every_level(signal, _part(state, "backbone"))
        hidden = torch.cat([every[level] for level in levels])
        before = fresh(self.head.state_shapes(), len(hidden), audio)
        output, _ = self.head(hidden.float(), context.repeat(len(levels), 1), before)
        output = output[:, self.lookahead_samples : self.lookahead_samples + time]
        return list(output.unsqueeze(1).chunk(len(levels)))

    def score(self, audio: Tensor) -> Tensor:
        """Return the policy's scores of whole clips without running the backbone.

        Args:
            audio: (batch, 1, time).

        Returns:
            (batch, frame, level).

        Raises:
            InputError: the model has no policy.
        """
        if self.policy is None:
            raise InputError("the model has no policy that scores its levels; use one that has a router")
        audio = F.pad(audio, (0, self.padding(audio.shape[-1]))).squeeze(1)
        state = fresh(self.state_shapes(), audio.shape[0], audio)
        signal, context, _ = self.features(audio, _part(state, "features"))
        evidence = self.features.evidence(audio, signal, context)
        return self.policy(evidence, _part(state, "policy"))[0]

    def padding(self, time: int) -> int:
        """Return the zeros to append to a clip so that its last sample comes out, in whole frames."""
        return self.lookahead_samples + (-time - self.lookahead_samples) % self.hop_length

    def frames(self, time: int) -> int:
        """Return the frames that `enhance_clip` runs for a clip of `time` samples: its plan's frame axis."""
        return (time + self.padding(time)) // self.hop_length

    def macs(self) -> tuple[int, dict[str, list[int]]]:
        """Return the multiply-accumulates of a frame: those under any plan, and by site those of each unit.

        The policy's are added in frames in which it decides.
        """
        static, units = self.backbone.macs()
        return static + self.features.macs() + self.head.macs(), units

    def _parts(self) -> Mapping[str, Part]:
        policy = {} if self.policy is None else {"policy": self.policy}
        return {"features": self.features, **policy, "backbone": self.backbone, "head": self.head}


def _part(state: State, part: str) -> dict[str, torch.Tensor]:
    """Return the states of one part, under their names in that part."""
    return {
        name.removeprefix(part + "."): value for name, value in state.items() if name.startswith(part + ".")
    }
