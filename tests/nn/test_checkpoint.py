"""Folders that are not what they should be; the way there and back is in the contract."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from sese.core.errors import InputError
from sese.nn import checkpoint
from sese.nn.backbones.demucs import DemucsConfig

TINY = DemucsConfig(channels=4, depth=2, oversampling=1, groups=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    checkpoint.save(tmp_path, "demucs", TINY, TINY.build().state_dict())
    return tmp_path


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_weights_are_for_whom_other_files_are(folder: Path):
    (folder / "other").touch()
    modes = {path.name: path.stat().st_mode for path in folder.iterdir()}
    assert set(modes.values()) == {modes["other"]}, modes


def test_nothing_there(tmp_path: Path):
    with pytest.raises(InputError, match=r"missing/config\.json does not exist"):
        checkpoint.load(tmp_path / "missing")


def test_no_weights(folder: Path):
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors does not exist"):
        checkpoint.load(folder)


def test_broken_weights(folder: Path):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(InputError, match=r"model\.safetensors does not hold the weights"):
        checkpoint.load(folder)


def test_weights_of_another_network(folder: Path):
    other = DemucsConfig(channels=8, depth=2, oversampling=1, groups=2)
    checkpoint.save(folder / "other", "demucs", other, TINY.build().state_dict())
    with pytest.raises(InputError, match=r"model\.safetensors does not hold the weights") as refused:
        checkpoint.load(folder / "other")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"channels": 4}',
        json.dumps({"system": "nonesuch"}),
        json.dumps({"system": "demucs", "colour": "red"}),
    ],
)
def test_configuration_not_understood(folder: Path, text: str):
    (folder / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config\.json is not a configuration of this version"):
        checkpoint.load(folder)


def test_a_save_replaces_the_files_whole(folder: Path):
    before = {path.name: path.stat().st_ino for path in folder.iterdir()}
    checkpoint.save(folder, "demucs", TINY, TINY.build().state_dict())
    assert {path.name for path in folder.iterdir()} == set(before), "no partial files are left"
    assert all(path.stat().st_ino != before[path.name] for path in folder.iterdir())


def test_a_policy_of_another_kind_starts_afresh(tmp_path: Path):
    """It is left out where the network has a policy of its own; without one, it is another network."""
    routed, resting = (replace(TINY, **policy) for policy in ({"router_channels": 4}, {"activity_units": 4}))
    checkpoint.save(tmp_path, "demucs", routed, routed.build().state_dict())
    model = resting.build()
    own = {name for name in model.state_dict() if name.startswith(checkpoint.POLICY)}
    assert checkpoint.load_into(model, tmp_path, (checkpoint.POLICY,)) == own
    for network, new in ((resting, ()), (resting, ("backbone.",)), (TINY, (checkpoint.POLICY,))):
        with pytest.raises(InputError, match="does not hold the weights of this network"):
            checkpoint.load_into(network.build(), tmp_path, new)
