"""The main path: audio -> features -> policy -> backbone -> head -> audio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sese.core.errors import InputError
from sese.nn.plan import REST, Plan, Site, check, choice_to_mask, full
from sese.nn.policies.activity import Activity, dial
from sese.nn.policies.channel_gates import ChannelGates
from sese.nn.policies.fixed import level_plans
from sese.nn.policies.router import Choose, best
from sese.nn.state import State, fresh


@dataclass(frozen=True)
class Enhanced:
    """What an enhancer returns.

    Attributes:
        audio: (batch, 1, time), late by the enhancer's `lookahead_samples`.
        plan: what ran.
        state: hand it back with the next chunk.
        scores: (batch, frame, level) of the policy, where it decided.
    """

    audio: Tensor
    plan: Plan
    state: dict[str, Tensor]
    scores: Tensor | None = None


class Enhancer(nn.Module):
    """Features, policy, backbone and head of one system, at one sample rate, streamed by its state.

    Args:
        features, backbone, head: the parts; each declares `state_shapes`, `macs`, and what it delays.
        sample_rate: in Hz, of the audio that comes and goes.
        hop_length: samples a frame; chunks are multiples of it.
        lookahead_samples: how late the output is against the input.
        policy: scores the levels of each frame, or gates channels while the backbone runs; None where a model
            has levels and nobody to pick them.

    Raises:
        InputError: a policy on a backbone whose sites have not the same number of units.
    """

    def __init__(
        self,
        features: nn.Module,
        backbone: nn.Module,
        head: nn.Module,
        sample_rate: int,
        hop_length: int,
        lookahead_samples: int,
        policy: nn.Module | None = None,
    ):
        super().__init__()
        # Any: what the three share (state_shapes, macs) is no part of nn.Module's type.
        self.features: Any = features
        self.backbone: Any = backbone
        self.head: Any = head
        self.policy: Any = policy
        if policy is not None and len({site.units for site in self.sites}) != 1:
            raise InputError("a policy needs a backbone whose sites all have the same number of units")
        self.sample_rate, self.hop_length = sample_rate, hop_length
        self.lookahead_samples = lookahead_samples

    @property
    def latency_samples(self) -> int:
        """From a sample's arrival to the moment its enhanced version can leave: lookahead and one frame."""
        return self.lookahead_samples + self.hop_length

    @property
    def sites(self) -> tuple[Site, ...]:
        """Where compute can be left out."""
        return self.backbone.sites

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the whole state behind the batch axis; names start with the part's name."""
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
            state: what the chunk before returned; None starts afresh.
            choose: makes a choice of the policy's scores; None for what the policy does by itself.

        Raises:
            InputError: wrong shape, or a plan that does not fit.
        """
        if audio.ndim != 3 or audio.shape[1] != 1 or audio.shape[2] == 0 or audio.shape[2] % self.hop_length:
            raise InputError(
                f"audio has shape {tuple(audio.shape)}; expected (batch, channel=1, time) with time a "
                f"positive multiple of the hop of {self.hop_length} samples (pad it, or use `enhance_clip`)"
            )
        batch, frames = audio.shape[0], audio.shape[2] // self.hop_length
        state = fresh(self.state_shapes(), batch, audio) if state is None else state
        after: dict[str, dict[str, Tensor]] = {}
        scores = None

        audio = audio.squeeze(1)
        signal, context, after["features"] = self.features(audio, _part(state, "features"))
        if self.policy is not None:
            after["policy"] = _part(state, "policy")
        gated = plan is None and isinstance(self.policy, ChannelGates)
        if plan is None and self.policy is not None and not gated:
            evidence = self.features.evidence(audio, signal, context)
            scores, after["policy"]["gru"] = self.policy(evidence, after["policy"])
            choice, after["policy"]["memory"] = (choose or self.choose)(scores, after["policy"]["memory"])
            plan = {site.name: choice_to_mask(choice[..., : site.units], site) for site in self.sites}
            if isinstance(self.policy, Activity):
                plan[REST] = choice[..., -1]
        if gated:  # gates see what comes out of the blocks before theirs
            hidden, plan, after["backbone"] = self.backbone.gated(
                signal, self.policy, _part(state, "backbone")
            )
        else:
            plan = full(self.sites) if plan is None else plan
            check(plan, self.sites, batch, frames)
            hidden, after["backbone"] = self.backbone(signal, plan, _part(state, "backbone"))
        output, after["head"] = self.head(hidden.float(), context, _part(state, "head"))

        merged = {f"{part}.{name}": after[part][name] for part in self._parts() for name in after[part]}
        return Enhanced(output.unsqueeze(1), plan, merged, scores)

    @property
    def choose(self) -> Choose:
        """Return the choice without a budget: the level with the best score, or rest or the highest level."""
        if isinstance(self.policy, Activity):
            return dial(0.0, torch.ones(self.sites[0].units), 1)
        return best

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

        One pass gives them all where a level's output comes from within a higher one's pass: such a backbone
        has a method `every_level(signal, state)`, which returns what it makes at each level, cheapest first.
        """
        if len(levels) == 1 or not hasattr(self.backbone, "every_level"):
            plans = level_plans(self)
            return [self.enhance_clip(audio, plans[level]) for level in levels]
        time = audio.shape[-1]
        audio = F.pad(audio, (0, self.padding(time))).squeeze(1)
        state = fresh(self.state_shapes(), audio.shape[0], audio)
        signal, context, _ = self.features(audio, _part(state, "features"))
        every = self.backbone.every_level(signal, _part(state, "backbone"))
        hidden = torch.cat([every[level] for level in levels])
        before = fresh(self.head.state_shapes(), len(hidden), audio)
        output, _ = self.head(hidden.float(), context.repeat(len(levels), 1), before)
        output = output[:, self.lookahead_samples : self.lookahead_samples + time]
        return list(output.unsqueeze(1).chunk(len(levels)))

    def score(self, audio: Tensor) -> Tensor:
        """The policy's scores of whole clips, (batch, 1, time) -> (batch, frame, level); no backbone."""
        audio = F.pad(audio, (0, self.padding(audio.shape[-1]))).squeeze(1)
        state = fresh(self.state_shapes(), audio.shape[0], audio)
        signal, context, _ = self.features(audio, _part(state, "features"))
        evidence = self.features.evidence(audio, signal, context)
        return self.policy(evidence, _part(state, "policy"))[0]

    def padding(self, time: int) -> int:
        """Zeros to append to a clip so that its last sample comes out and whole frames result."""
        return self.lookahead_samples + (-time - self.lookahead_samples) % self.hop_length

    def frames(self, time: int) -> int:
        """Frames that `enhance_clip` runs for a clip of `time` samples: the frame axis of its plan."""
        return (time + self.padding(time)) // self.hop_length

    def macs(self) -> tuple[int, dict[str, list[int]]]:
        """Multiply-accumulates a frame: those under any plan, and for each site those each unit adds.

        The policy's come on top in frames where it decides.
        """
        static, units = self.backbone.macs()
        return static + self.features.macs() + self.head.macs(), units

    def _parts(self) -> Mapping[str, Any]:
        policy = {} if self.policy is None else {"policy": self.policy}
        return {"features": self.features, **policy, "backbone": self.backbone, "head": self.head}


def _part(state: State, part: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(part + "."): value for name, value in state.items() if name.startswith(part + ".")
    }
