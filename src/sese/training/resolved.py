"""The configuration that a run leaves in its folder: what its training method uses, and nothing else."""

from __future__ import annotations

from typing import Any

from sese.training.config import RunConfig
from sese.training.config_file import as_yaml, plain_values
from sese.training.methods import METHODS, SETTINGS


def values_in_use(config: RunConfig, policy: bool = True) -> dict[str, Any]:
    """Return the nested values of a run, without those that its training method does not use.

    Args:
        config: Configuration of the run.
        policy: Whether the model has a policy that is trained, for which `training.routing` has the rate.

    Returns:
        The values; read again, they make an equal training.
    """
    values = plain_values(config)
    method, training = METHODS[config.training.method], values["training"]
    sections = set(method.settings) | ({"routing"} if policy and method.reads_routing_rate else set())
    used = (training.keys() if method.uses is None else method.uses | sections) - (SETTINGS.keys() - sections)
    if not method.distills:
        used = used - {"distill"}
    values["training"] = {name: value for name, value in training.items() if name in used}
    return values


def dump_run(config: RunConfig, policy: bool) -> str:
    """Return the configuration of a run as YAML that reads back, see `values_in_use`."""
    return as_yaml(values_in_use(config, policy))
