"""Find sound cards: load PortAudio, list its devices, choose one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from sese.core.errors import InputError
from sese.core.install import install_command

Device = int | str


@dataclass(frozen=True)
class SoundCard:
    """A device as PortAudio lists it. `sample_rate` is the rate that it prefers, in Hz."""

    index: int
    name: str
    host: str
    inputs: int
    outputs: int
    sample_rate: int
    default_input: bool
    default_output: bool

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)


def sounddevice() -> Any:
    """Return the module `sounddevice`, with PortAudio loaded.

    Raises:
        InputError: The package or PortAudio is missing, or PortAudio cannot be started.
    """
    try:
        import sounddevice as module
    except ImportError:
        raise InputError(
            f"sound cards need the Python package sounddevice; {install_command('live')}"
        ) from None
    except OSError:
        raise InputError(
            "sound cards need the library PortAudio, which is not installed; "
            "install it, on Debian and Ubuntu: apt install libportaudio2"
        ) from None
    except Exception as error:  # PortAudioError, a class of the module that could not be loaded
        raise InputError(f"PortAudio cannot be started ({error}); is the sound server running?") from None
    return module


def list_cards(sd: Any) -> list[SoundCard]:
    """Return all devices in PortAudio's order, which is that of their indices."""
    hosts = sd.query_hostapis()
    default_in, default_out = sd.default.device
    cards = []
    for index, facts in enumerate(sd.query_devices()):
        host = hosts[facts["hostapi"]]
        if default_in < 0 and default_out < 0:
            defaults = [index == host["default_input_device"], index == host["default_output_device"]]
        else:
            defaults = [index == default_in, index == default_out]
        cards.append(
            SoundCard(
                index,
                facts["name"],
                host["name"],
                facts["max_input_channels"],
                facts["max_output_channels"],
                round(facts["default_samplerate"]),
                *defaults,
            )
        )
    return cards


def find_card(sd: Any, device: Device | None, kind: Literal["input", "output"]) -> SoundCard:
    """Return the device with an index or a part of a name.

    A device's whole name means that device, in upper or lower case. A part has to be in the name of only one
    device that has channels of this kind.

    Args:
        sd: The module `sounddevice`.
        device: Index, name, or part of a name; None for the default device.
        kind: ``"input"`` or ``"output"``.

    Raises:
        InputError: There is no such device, or more than one, or it has no channels of this kind.
    """
    cards = list_cards(sd)
    able = [card for card in cards if (card.inputs if kind == "input" else card.outputs)]
    if not able:
        raise InputError(f"there is no {kind} device; connect a sound card, or start a sound server")
    if device is None:
        chosen = [card for card in able if (card.default_input if kind == "input" else card.default_output)]
        if not chosen:
            raise InputError(f"there is no default {kind} device; choose one of `sese live --list`")
        return chosen[0]
    if isinstance(device, int) or device.isdecimal():
        if not 0 <= int(device) < len(cards):
            raise InputError(f"there is no device {device}; choose one of `sese live --list`")
        card = cards[int(device)]
        if card not in able:
            raise InputError(f"device {device} ({card.name}) has no {kind}; choose one of `sese live --list`")
        return card
    name = device.lower()
    found = [card for card in able if card.name.lower() == name]
    found = found or [card for card in able if name in card.name.lower()]
    if not found:
        raise InputError(f"no {kind} device has {device!r} in its name; choose one of `sese live --list`")
    if len(found) > 1:
        matches = ", ".join(f"{card.index} ({card.name}, {card.host})" for card in found)
        raise InputError(f"{kind} device {device!r} may be {matches}; give the index")
    return found[0]
