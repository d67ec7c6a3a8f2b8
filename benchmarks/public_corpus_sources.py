"""Sources of benchmarks/public_corpus.py: where the recordings lie, who speaks, and their licences."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

Found = Iterable[tuple[Path, str]]
"""Files, and the speaker or the noise category of each."""

HELD_OUT_LANGUAGES = frozenset({"bg", "eu", "he", "hu", "sl"})
"""Languages of GCompris whose speakers validate."""


@dataclass(frozen=True)
class Source:
    """A collection of recordings.

    Attributes:
        name: Folder of the source below `clean/`, or the prefix of its files below `noise/CATEGORY/`.
        place: `github:OWNER/NAME`, or `debian:PACKAGE`.
        licence: Licence of the recordings.
        find: Function that lists the files below the folder of the source.
        kind: `speech`; `noise`; `events`, which are joined to longer recordings; `keys`, of which typing is
            assembled.
        min_snr_db: Lowest SNR of speech.
        skip_seconds: Lengths that are cut off at the start and at the end.
        cap_minutes: Most speech of one speaker.
    """

    name: str
    place: str
    licence: str
    find: Callable[[Path], Found]
    kind: str = "speech"
    min_snr_db: float = 30.0
    skip_seconds: tuple[float, float] = (0.0, 0.0)
    cap_minutes: float = 45.0

    @property
    def folder(self) -> str:
        """Name of the folder of the source, below that of the repositories or of the packages."""
        return self.place.split(":")[1].replace("/", "+")

    @property
    def command(self) -> str:
        """Shell command that fetches the source into the folder `$REPOSITORIES` or `$PACKAGES`."""
        host, what = self.place.split(":")
        if host == "github":
            return f'git clone --depth 1 https://github.com/{what} "$REPOSITORIES/{self.folder}"'
        return f'apt-get download {what} && dpkg-deb -x {what}_*.deb "$PACKAGES/{what}"'


def one_group(root: Path, pattern: str, group: str) -> Found:
    """Return the files of one speaker or one category."""
    return [(path, group) for path in root.glob(pattern)]


def unnamed(root: Path, pattern: str, prefix: str) -> Found:
    """Return numbered files whose speakers are unknown, in groups of ten.

    The training samples groups by the square root of their lengths. If each file were a group, files without
    a speaker would make most of the mixtures.
    """
    return [(path, f"{prefix}-{re.sub('[^0-9]', '', path.stem)[:-1]}") for path in root.glob(pattern)]


def grouped_by(root: Path, pattern: str, name: str, group: str) -> Found:
    """Return files whose group is in their name.

    Args:
        root: Folder of the source.
        pattern: Files below it.
        name: Regular expression that is searched in the path below `root`; other files are left out.
        group: Group, with the groups of the expression: `fillets-{0}`.
    """
    found = ((path, re.search(name, path.relative_to(root).as_posix())) for path in root.glob(pattern))
    return [(path, group.format(*match.groups())) for path, match in found if match]


_ENTRY = re.compile(r"(\S+\.ogg)\s+(\S.*)")
_NAMES = {  # where a speaker cannot be told from the line of the licence by rule
    "Smart4KidscomCreativeCommonLicenseBYSA": "smart4kids",
    "httpwwwart4appsorg": "art4apps",
    "shambuk_rajeshwarimk": "shambuk",
    "FranciscoMarceloMendesDamasceno": "FranciscoDamasceno",
    "JonasJakAtysRolandasJakAtys": "JonasRolandasJakutys",
    "Martinin": "MartinSin",
}
_LICENCE_ALONE = re.compile(r"(?:GPL|Public)\b")


def gcompris(root: Path) -> Found:
    """Return the files that `LICENSE` names, sentences first, without the languages that validate."""
    found: list[tuple[Path, str]] = []
    folder = ""
    for line in (root / "LICENSE").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("./"):
            folder = line[2:].rstrip(": ")
        elif (entry := _ENTRY.match(line)) and (path := root / folder / entry[1]).is_file():
            language = folder.split("/")[0]
            if language not in HELD_OUT_LANGUAGES:
                found.append((path, f"gc-{_speaker(entry[2], language)}"))
    return sorted(found, key=lambda item: "/intro/" not in item[0].as_posix())


def _speaker(licence: str, language: str) -> str:
    """Return the speaker of a line such as `Ana Maria 2011 <a at b> / GPL`, or `LANGUAGE-anon`."""
    if _LICENCE_ALONE.match(licence):
        return f"{language}-anon"
    if not licence[0].isascii() and "(" in licence:  # in another script, with Latin letters behind it
        licence = licence.split("(")[1]
    name = re.split(r"\s(?:\d{4}|/|-)|[<(),]|/ |(?<=[a-z])/(?=[A-Z])", licence)[0]
    name = re.sub(r"M\. en T\.E\. |\bV\. ", "", name)
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"\W", "", plain)
    return _NAMES.get(plain, plain) or f"{language}-anon"


def precise(root: Path) -> Found:
    """Return the files that a contributor dedicated to the public domain.

    `heysavant` is left out, whose licence forbids commercial use.
    """
    owners: dict[str, str] = {}
    for licence in sorted((root / "licenses").glob("license-2*.txt")):
        text = licence.read_text(encoding="utf-8", errors="replace")
        if "waive all claim of copyright" in text:
            owner = licence.stem.split("-", 2)[2]
            owners |= dict.fromkeys(re.findall(r"([^/\s]+\.wav)", text), owner)
    files = (path for path in root.rglob("*.wav") if "heysavant" not in path.parts)
    return [(path, f"pcd-{owners[path.name]}") for path in files if path.name in owners]


_KEYS = r"things/(keyboard|typewriter)\.mp3"
_UNUSED = r"binaural/|noise/|things/(dryer|clock|tuning-radio|keyboard|typewriter)\.mp3"
"""Tones and computed noise, recordings that validate, radio with speech, and what `_KEYS` takes."""


def moodist(root: Path) -> Found:
    """Return noise by folder, with keyboards as a category of their own."""
    places = grouped_by(root, "public/sounds/*/*.mp3", rf"public/sounds/(?!{_UNUSED})(\w+)/", "{1}")
    return [*grouped_by(root, "public/sounds/things/*.mp3", _KEYS, "typing"), *places]


_ASTERISK = "usr/share/asterisk/sounds"
_FESTVOX = "usr/share/festival/voices/russian/msu_ru_nsh_clunits"
_STAMPS = "usr/share/tuxpaint/stamps"
_VOICES_OF_STAMPS = r"_desc_(be|bg|ca|el|ru)\.ogg$"
_EFFECTS_OF_STAMPS = (  # animals and things; other files without a language are words too
    rf"{_STAMPS}/(?:animals|household|naturalforces|vehicles)/(?:(?!_desc|_[a-z]{{2}}\.|_[a-z]{{2}}_).)*$"
)
# Without `vinyl_hiss`, which validates, and with loops as music.
_SONIC_PI = "usr/share/sonic-pi/samples"
_SPEAKERS = {"en": "allison", "es": "allison", "fr": "june", "it": "carlo", "ru": "ivrvoice"}

SOURCES = (
    Source(
        "common-voice",
        "github:BluePython339/asr_experiment",
        "CC0 1.0 (Common Voice 1, test part)",
        partial(unnamed, pattern="cv-valid-test/*.mp3", prefix="cv"),
        min_snr_db=35.0,
    ),
    Source(
        "gcompris",
        "github:gcompris/GCompris-voices",
        "GPL, CC BY-SA or public domain, by file: see LICENSE in the repository",
        gcompris,
    ),
    Source(
        "festvox-ru",
        "debian:festvox-ru",
        "BSD-like, copyright Nickolay V. Shmyrev 2005",
        partial(one_group, pattern=f"{_FESTVOX}/wav/*.wav", group="festvox-ru"),
    ),
    Source(
        "rhasspy-kerstin",
        "github:rhasspy/dataset-voice-kerstin",
        "CC0 1.0",
        partial(one_group, pattern="verified/**/*.flac", group="kerstin"),
    ),
    Source(
        "rhasspy-kathleen",
        "github:rhasspy/dataset-voice-kathleen",
        "CC0 1.0",
        partial(one_group, pattern="data/*.wav", group="kathleen"),
    ),
    Source(
        "rhasspy-nathalie",
        "github:rhasspy/dataset-voice-nathalie",
        "CC0 1.0",
        partial(one_group, pattern="verified/**/*.flac", group="nathalie"),
    ),
    Source(
        "rhasspy-flemishguy",
        "github:rhasspy/dataset-voice-flemishguy",
        "CC0 1.0",
        partial(one_group, pattern="wavs/*.wav", group="flemishguy"),
    ),
    *(
        Source(
            "asterisk",
            f"debian:asterisk-core-sounds-{language}-g722",
            f"CC BY{'' if language == 'ru' else '-SA'} 3.0, see `copyright` in the package",
            partial(grouped_by, pattern=f"{_ASTERISK}/**/*.g722", name="^(?!.*/silence/)", group=speaker),
        )
        for language, speaker in _SPEAKERS.items()
    ),
    Source(
        "fleursdumal",
        "github:heitorchang/fleursdumal_librivox",
        "public domain (LibriVox)",
        partial(one_group, pattern="audio/*.mp3", group="fleursdumal"),
        skip_seconds=(14.0, 5.0),
        cap_minutes=90.0,
    ),
    *(
        Source(
            "fillets",
            f"debian:fillets-ng-data-{language}",
            "GPL-2",
            partial(
                grouped_by,
                pattern=f"usr/share/games/fillets-ng/sound/**/{language}/*.ogg",
                name=r"/[^/-]+-([a-z]{1,3})-[^/]*$",
                group=f"fillets-{language}-{{0}}",
            ),
        )
        for language in ("cs", "nl")
    ),
    Source(
        "tuxpaint",
        "debian:tuxpaint-stamps-default",
        "GPL-2",
        partial(grouped_by, pattern=f"{_STAMPS}/**/*.ogg", name=_VOICES_OF_STAMPS, group="tuxpaint-{0}"),
    ),
    Source(
        "precise",
        "github:MycroftAI/Precise-Community-Data",
        "public domain, by waivers of the contributors",
        precise,
    ),
    Source("moodist", "github:remvze/moodist", "CC0 or Pixabay Content License", moodist, kind="noise"),
    Source(
        "wesnoth",
        "debian:wesnoth-1.16-music",
        "GPL-2 or later",
        partial(one_group, pattern="usr/share/games/wesnoth/*/data/core/music/*.ogg", group="music"),
        kind="noise",
    ),
    Source(
        "asterisk-moh",
        "debian:asterisk-moh-opsound-g722",
        "CC BY-SA 3.0",
        partial(one_group, pattern="usr/share/asterisk/moh/*.g722", group="music"),
        kind="noise",
    ),
    Source(
        "bucklespring",
        "debian:bucklespring-data",
        "GPL-2 or later",
        partial(one_group, pattern="usr/share/buckle/wav/*.wav", group="typing"),
        kind="keys",
    ),
    Source(
        "tuxpaint-stamps",
        "debian:tuxpaint-stamps-default",
        "GPL-2",
        partial(grouped_by, pattern=f"{_STAMPS}/**/*.ogg", name=_EFFECTS_OF_STAMPS, group="events"),
        kind="events",
    ),
    Source(
        "tuxpaint-interface",
        "debian:tuxpaint-data",
        "GPL-2 or later",
        partial(one_group, pattern="usr/share/tuxpaint/sounds/*.wav", group="events"),
        kind="events",
    ),
    Source(
        "sonic-pi",
        "debian:sonic-pi-samples",
        "CC0 1.0",
        partial(
            grouped_by,
            pattern=f"{_SONIC_PI}/*.flac",
            name="/(?!ambi|loop|vinyl_hiss)[^/]*$",
            group="events",
        ),
        kind="events",
    ),
    Source(
        "sonic-pi",
        "debian:sonic-pi-samples",
        "CC0 1.0",
        partial(grouped_by, pattern=f"{_SONIC_PI}/*.flac", name="/(?:ambi|loop)_[^/]*$", group="music"),
        kind="noise",
    ),
)
