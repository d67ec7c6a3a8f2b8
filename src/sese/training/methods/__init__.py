"""What a training step does: a file for each value of `training.method`."""

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
from sese.training.methods.method import Method

METHODS = {
    "all_levels": Method(levels.every, levels.mean_score),
    "sandwich": Method(levels.sandwiched, levels.mean_score),
    "full": Method(levels.widest, levels.last_score),
    "random_level": Method(levels.dealt, levels.mean_score),
    "routing": Method(routed.routed, routed.score),
    "routing_from_errors": Method(measured.measured, routed.score),
    "pruning": Method(gated.gated, gated.score),
    "specialists": Method(experts.specialists, experts.matched_score, validate=experts.validate_specialists),
    "gating": Method(experts.gating, experts.gating_score, validate=experts.validate_gating),
    "mixture": Method(experts.mixture, experts.routed_score),
    "activity": Method(listened.listened, listened.score, validate=listened.validate),
    "milestones": Method(milestones.milestones, levels.last_score),
    "masks": Method(masks.masks, levels.last_score, masks.fit_codes),
    "contrastive": Method(contrastive.contrastive, levels.last_score),
    "purification": Method(purified.purified, levels.last_score),
}
"""Value of `training.method` -> what its steps do, and what chooses the best weights."""
