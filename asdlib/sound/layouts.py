"""How collections of recordings are laid out and named: a row for each.

Whatever differs from collection to collection stands in :data:`LAYOUTS`: which machine
a file is of, by its path; where the files are published, and under which conditions.
Finding clips (:mod:`asdlib.sound.scan`) and downloading them
(:mod:`asdlib.sound.download`) read these rows, so another collection is another row.
"not checked" in a row says that nobody has looked.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePath

from asdlib.errors import AsdError
from asdlib.sound.naming import Aside, Named, composed, path_text
from asdlib.sound.naming import Domain as Domain
from asdlib.sound.naming import Label as Label
from asdlib.sound.naming import Layout as Layout
from asdlib.sound.naming import Split as Split
from asdlib.sound.published import PARTS
from asdlib.sound.published import Part as Part

# What people call the folders of healthy machines and of others.
_HEALTHY = "normal ok okay good healthy intact nominal undamaged pass passed gut io"
_FAULTY = (
    "abnormal anomaly anomalies anomalous anomal ng nok nio not_ok bad broken damaged "
    "defect defects defective defekt fault faults faulty fail failed failure fehler "
    "fehlerhaft unhealthy"
)
WORDS: dict[str, Label] = {
    **dict.fromkeys(_HEALTHY.split(), "normal"),
    **dict.fromkeys(_FAULTY.split(), "anomaly"),
}
# And what they call those of clips for training, and of clips that are held back.
_HELD_BACK = "test testing eval evaluation val valid validation"
SPLITS: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(_HELD_BACK.split(), "test"),
}
_SECTION = (  # a file's name from 2021 on; clips for evaluation say less of themselves
    r"(?P<id>section_\d+)_(?:(?P<domain>source|target)_)?(?:(?:train|test)_)?"
    r"(?:(?P<label>normal|anomaly)_)?\d+(?:_(?P<attributes>[^/]*))?\.[^./]+"
)
_NC = "CC BY-NC-SA 4.0"
_SHARED = "DCASE 2022 and later"


def _from_2022(
    year: int, licence: str, paper: str, rate: int | None, channels: int
) -> Layout:
    """A row of the years that share their names."""
    words = r"[^/]+/supplemental/section_\d+_[^\d/]*{}[^\d/]*_\d[^/]*"
    return Layout(
        name=f"DCASE {year} Task 2",
        pattern=rf"(?P<type>[^/]+)/(?P<split>train|test)/{_SECTION}",
        tree="<machine type>/{train,test}/section_<nn>_{source,target}_{train,test}_"
        "{normal,anomaly}_<number>_<attributes>.wav",
        example="section_<nn>_source_train_normal_<number>.wav",
        aside=(
            Aside(words.format("noise"), "supplemental noise without the machine"),
            Aside(words.format("machine"), "supplemental clean sound of the machine"),
            Aside(
                r"[^/]+/supplemental/[^/]+",
                "supplemental recordings, clean or noise alone",
            ),
        ),
        among=_SHARED,
        parts=PARTS[f"dcase{year}"],
        licence=licence,
        citation=paper,
        mean="mixed",
        sample_rate=rate,
        channels=channels,
    )


_2022 = _from_2022(2022, "not checked", "Dohi et al., arXiv 2206.05876", None, 1)
_2021 = Layout(
    name="DCASE 2021 Task 2",
    pattern=r"(?P<type>[^/]+)/(?P<split>train|source_test|target_test)/" + _SECTION,
    tree="<machine type>/{train,source_test,target_test}/section_<nn>_...",
    example="",
    splits={"train": "train", "source_test": "test", "target_test": "test"},
    among="DCASE 2021",
    parts=PARTS["dcase2021"],
    licence="not checked",
    citation="Kawaguchi et al., arXiv 2106.04492",
    mean="harmonic",
    sample_rate=16000,
    channels=1,
)


def plain_folders(words: Mapping[str, Label] = WORDS) -> Layout:
    """The row of recordings in folders that are called by what is in them.

    ``words`` says what the names of such folders mean, in small letters.
    """
    known = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
    splits = "|".join(SPLITS)
    return Layout(
        name="plain folders",
        pattern=rf"(?P<type>(?!(?:{splits}|id_\d+|{known})/)[^/]+)/"
        rf"(?:(?P<id>id_\d+)/)?(?:(?P<split>{splits})/)?"
        rf"(?P<label>{known})/(?:(?P<split_below>{splits})/)?(?:[^/]+/)*[^/]+",
        tree="<machine>/{normal,anomaly}/*.wav",
        example="",
        splits=SPLITS,
        labels=words,
        above=rf"(?:^|/)(?P<split>{splits})/$",
        only_below=True,
    )


# The first row whose pattern a path follows counts. Training clips of 2021 are named as
# those of later years: the test clips beside them tell.
LAYOUTS: dict[str, Layout] = {
    "dcase2020": Layout(
        name="DCASE 2020 Task 2",
        pattern=r"(?P<type>[^/]+)/(?P<split>train|test)/"
        r"(?:(?P<label>normal|anomaly)_)?(?P<id>id_\d+)_[^/]+\.[^./]+",
        tree="<machine type>/{train,test}/{normal,anomaly}_id_<nn>_<number>.wav",
        example="normal_id_<nn>_<number>.wav",
        parts=PARTS["dcase2020"],
        licence=_NC,
        citation="Koizumi et al., arXiv 2006.05822",
        mean="arithmetic",
        sample_rate=16000,
        channels=1,
    ),
    "dcase2022": _2022,
    "dcase2023": _from_2022(2023, _NC, "Dohi et al., arXiv 2305.07828", 16000, 1),
    "dcase2024": _from_2022(
        2024, "not checked", "Nishida et al., arXiv 2406.07250", None, 1
    ),
    "dcase2025": _from_2022(2025, _NC, "Nishida et al., arXiv 2506.10097", 16000, 1),
    # Channel 0 is the near microphone, channel 1 the far one.
    "dcase2026": _from_2022(2026, _NC, "Nishida et al., arXiv 2606.01578", 16000, 2),
    "mimii_dg": replace(
        _2022,
        name="MIMII DG",
        parts=PARTS["mimii_dg"],
        licence="CC BY 4.0",
        citation="Dohi et al., arXiv 2205.13879",
        sample_rate=16000,
    ),
    "dcase2021": _2021,
    "mimii_due": replace(
        _2021,
        name="MIMII DUE",
        parts=PARTS["mimii_due"],
        licence=_NC,
        citation="Tanabe et al., arXiv 2105.02702",
    ),
    "mimii": Layout(
        name="MIMII",
        pattern=r"(?P<type>[^/]+)/(?P<id>id_\d+)/(?P<label>normal|abnormal)/"
        r"(?P<event>[^/]+)\.[^./]+",
        tree="<machine type>/id_<nn>/{normal,abnormal}/<number>.wav",
        example="",
        labels={"normal": "normal", "abnormal": "anomaly"},
        # Three mixtures of each recording: folders 6_dB, which people call 6dB, too.
        above=r"(?:^|/)(?P<snr>(?:-|min(?:us)?_?)?\d+_?dB)",
        parts=PARTS["mimii"],
        licence="CC BY-SA 4.0",
        citation="Purohit et al., arXiv 1909.09347",
        sample_rate=16000,
        channels=8,
    ),
    "toyadmos": Layout(
        name="ToyADMOS",
        pattern=r"(?P<type>[^/]+)/(?P<id>case\d+)/(?P<label>Normal|Anomalous)Sound_IND/"
        r"\d+_[^/]*_(?:normal|(?P<fault>ab\d+))_IND_(?P<microphone>ch\d+)_"
        r"(?P<event>\d+)\.[^./]+",
        tree="<machine type>/case<n>/{NormalSound,AnomalousSound}_IND/"
        "<number>_<type>_case<n>_{normal,ab<nn>}_IND_ch<n>_<number>.wav",
        example="",
        labels={"normal": "normal", "anomalous": "anomaly"},
        aside=(
            Aside(
                r"[^/]+/case\d+/NormalSound_CNT/[^/]+",
                "pieces of ten minutes of normal operation",
            ),
            Aside(r"[^/]+/EnvironmentalNoise_CNT/[^/]+", "noise of the surroundings"),
        ),
        parts=PARTS["toyadmos"],
        licence="LICENSE.pdf in its record: terms not checked",
        citation="Koizumi et al., WASPAA 2019",
        sample_rate=48000,
        channels=1,  # each of the four microphones is a file of its own
    ),
    "toyadmos2": Layout(
        name="ToyADMOS2",
        # Names of the toy train were not checked: taken to be as those of the car.
        pattern=r"(?P<label>[CT][NA])\d+-(?P<type>car|train)(?P<id>[A-Z]\d+)-"
        r"(?P<condition>[^_/]+)_(?P<microphone>mic\d+)_(?P<event>\d+)\.[^./]+",
        tree="{CN,CA}<number>-car<id>-speed<n>[-<fault>]_mic<n>_<number>.mp4",
        example="",
        labels={"cn": "normal", "tn": "normal", "ca": "anomaly", "ta": "anomaly"},
        aside=(Aside(r"env_noise/[^/]+", "noise of the surroundings"),),
        licence="LICENSE in record 4580270: terms not checked",
        citation="Harada et al., arXiv 2106.02369",
    ),
    "folders": plain_folders(),
}


def rows_for(
    layout: str | None, words: Mapping[str, Label] | None = None
) -> dict[str, Layout]:
    """The rows that paths are compared with: all that differ, or the one of that name.

    ``words`` are further names of folders, beside :data:`WORDS`. Raises
    :class:`AsdError` for an unknown name, and for words that say something else.
    """
    if layout is not None and layout not in LAYOUTS:
        raise AsdError(f"no layout {layout!r}: choose one of {', '.join(LAYOUTS)}")
    if layout is not None:
        rows = {layout: replace(LAYOUTS[layout], among="")}
    else:
        rows, seen = {}, set()
        for key, row in LAYOUTS.items():
            if row.pattern not in seen:
                rows[key] = row
                seen.add(row.pattern)
    if "folders" in rows:  # last: other layouts may have such folders, too
        plain = rows.pop("folders")
        rows["folders"] = plain
        if words:
            own = dict(_meaning(label, word) for word, label in words.items())
            rows["folders"] = plain_folders({**WORDS, **own})
    return rows


def words_in(text: str) -> dict[str, Label]:
    """What ``normal=gut,anomaly=kaputt`` says: {"gut": "normal", ...}.

    Raises :class:`AsdError` for anything else.
    """
    found: dict[str, Label] = {}
    for pair in text.split(","):
        label, _, word = (part.strip() for part in pair.partition("="))
        word, meant = _meaning(label, word)
        found[word] = meant
    return found


def _meaning(label: str, word: str) -> tuple[str, Label]:
    """A folder's name as it is compared, and what it means."""
    word = composed(word).lower()
    if label not in ("normal", "anomaly") or not word or set("/=") & set(word):
        raise AsdError(
            f"{f'{label}={word}'!r} does not say which folder is which: "
            "write normal=NAME or anomaly=NAME, several with commas"
        )
    return word, "normal" if label == "normal" else "anomaly"


def parse(path: str | PurePath) -> Named | None:
    """What ``path`` says by the first layout that it follows; None where by none.

    >>> parse("dev/fan/test/anomaly_id_02_00000007.wav")[:4]
    ('fan', 'id_02', 'test', 'anomaly')
    """
    text = path_text(path)
    found = (row.parse(text) for row in rows_for(None).values())
    return next((named for named in found if named is not None), None)


def split_words(rows: Mapping[str, Layout] = LAYOUTS) -> set[str]:
    """Names of folders that hold clips of published names, in any of ``rows``."""
    published = (layout for layout in rows.values() if not layout.only_below)
    return {word for layout in published for word in layout.splits}


def expected(rows: Mapping[str, Layout] = LAYOUTS) -> str:
    """The trees of ``rows``, for people: of many, the first and the last."""
    trees = list(dict.fromkeys(layout.tree for layout in rows.values()))
    return " or ".join(dict.fromkeys([trees[0], trees[-1]]))


def examples(rows: Mapping[str, Layout] = LAYOUTS) -> str:
    """An example of a name in each of ``rows`` where files say all, for people.

    Where they do so in none, the trees.
    """
    found = dict.fromkeys(row.example for row in rows.values() if row.example)
    return " or ".join(found) or expected(rows)
