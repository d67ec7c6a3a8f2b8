"""What a training step does: a file for each value of `training.levels`."""

from __future__ import annotations

from sese.training.methods import (
    contrastive,
    experts,
    gated,
    levels,
    listened,
    masks,
    measured,
    milestones,
    purified,
    routed,
)
from sese.training.methods.way import Way

WAYS = {
    "all": Way(levels.every, levels.mean_score),
    "sandwich": Way(levels.sandwiched, levels.mean_score),
    "full": Way(levels.widest, levels.last_score),
    "deal": Way(levels.dealt, levels.mean_score),
    "routed": Way(routed.routed, routed.score),
    "measured": Way(measured.measured, routed.score),
    "gated": Way(gated.gated, gated.score),
    "specialists": Way(experts.specialists, experts.matched_score, validate=experts.validate_specialists),
    "gating": Way(experts.gating, experts.gating_score, validate=experts.validate_gating),
    "mixture": Way(experts.mixture, experts.routed_score),
    "listened": Way(listened.listened, listened.score, validate=listened.validate),
    "milestones": Way(milestones.milestones, levels.last_score),
    "masks": Way(masks.masks, levels.last_score, masks.fit_codes),
    "contrastive": Way(contrastive.contrastive, levels.last_score),
    "purified": Way(purified.purified, levels.last_score),
}
"""Value of `training.levels` -> what its steps do, and what chooses the best weights."""
