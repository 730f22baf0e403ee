"""From clips to what is kept of them: the waveform, and the log-mel.

A few clips ahead and on all cores. What is done to clips of another length or rate is
said, and what is wrong with some of them in one go.
"""

import logging
import os
from collections import Counter, deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from asdlib.errors import AsdError
from asdlib.progress import OnStep, silent
from asdlib.sound import shards
from asdlib.sound.clips import Clips
from asdlib.sound.data import Clip, check_clips, listed
from asdlib.sound.features import FeatureConfig, log_mel
from asdlib.sound.reading import as_recorded, at_rate, to_length

log = logging.getLogger("asdlib")
SHORT = ("repeat", "refuse")  # what becomes of clips that are too short
TOLD = 100  # recordings that one error names, at most
AT_ONCE = 64  # clips; a slow disk must not let the finished ones pile up in memory


@dataclass(frozen=True)
class ReadOptions:
    """How recordings that are not as the config says are read.

    See :func:`asdlib.sound.reading.read` and
    :func:`asdlib.sound.reading.to_length`. Raises :class:`AsdError` for another word
    than those of :data:`SHORT`.
    """

    channel: int | None = None
    resample: bool = False
    short: str = "repeat"
    partial: bool = False

    def __post_init__(self) -> None:
        if self.short not in SHORT:
            raise AsdError(
                f"short clips cannot be {self.short!r}: choose repeat or refuse"
            )


def computed(
    clips: list[Clip], config: FeatureConfig, options: ReadOptions, on_step: OnStep
) -> Generator[shards.Row | AsdError, None, None]:
    """:func:`clip_arrays` of each clip, in order, a few ahead and on all cores.

    The error of a clip that is bad takes its place.
    """
    ahead: deque[Future[shards.Row | AsdError]] = deque()

    def row_of(clip: Clip) -> shards.Row | AsdError:
        try:
            return clip_arrays(clip, config, options)
        except AsdError as error:
            return error

    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for done in range(len(clips)):
            for clip in clips[done + len(ahead) : done + AT_ONCE]:
                ahead.append(pool.submit(row_of, clip))
            row = ahead.popleft().result()
            on_step("features", done + 1, len(clips))
            yield row
    finally:
        pool.shutdown(cancel_futures=True)


def clip_arrays(clip: Clip, config: FeatureConfig, options: ReadOptions) -> shards.Row:
    """One clip as it is kept, what its length needed, and its rate.

    The former is "exact", "cropped" or "repeated". Waveform float32 (samples,) and
    log-mel float16 (mels, frames) in dB. Raises :class:`AsdError` for a clip that
    cannot be read, is silent, or is too short where short ones are refused.
    """
    # A second more than is kept: it shows that the clip is longer, and a resampler
    # looks a little ahead.
    seconds = config.seconds + 1
    if clip.end is not None:
        seconds = min(seconds, clip.end - clip.start)
    x, rate = as_recorded(
        clip.path,
        sample_rate=config.sample_rate,
        start=clip.start,
        seconds=seconds,
        channel=options.channel,
        resample=options.resample,
        partial=options.partial,
    )
    x = at_rate(x, rate, config.sample_rate)
    try:
        x, fit = to_length(x, config.samples, short=options.short)
    except AsdError as error:
        raise AsdError(f"{clip.path} is too short, {error}") from error
    wave, mel = clip_of(x, config)
    if np.ptp(wave) == 0:
        raise AsdError(
            f"{clip.path} is silent in its first {config.seconds:g} s: "
            "choose longer clips, or remove it"
        )
    return shards.Row(wave, mel, fit, rate)


def clip_of(x: np.ndarray, config: FeatureConfig) -> tuple[np.ndarray, np.ndarray]:
    """A clip in ±1 (samples,) as it is kept.

    Waveform float32 (samples,) and log-mel float16 (mels, frames) in dB.
    """
    wave = np.array(x, dtype=np.float32)  # a part of a longer sound may begin anywhere
    mel = log_mel(wave, config).numpy()
    return wave, mel.astype(np.float16, order="C")  # torch gives it frame by frame


def features_now(
    clips: list[Clip],
    config: FeatureConfig,
    *,
    options: ReadOptions = ReadOptions(),
    bad: dict[Clip, AsdError] | None = None,
    trained: tuple[int, ...] = (),
    on_step: OnStep = silent,
) -> Clips:
    """The features of a few clips, computed in memory and not kept.

    Waveforms (N, samples) float32 and log-mels (N, mels, frames) float16 in dB. Bad
    clips and ``trained`` are as in :func:`features_of`. Raises :class:`AsdError` for no
    clips and for bad ones.
    """
    if not (clips := listed(clips)):
        raise AsdError("no clips to compute features of: give at least one")
    check_clips(clips)
    with closing(computed(clips, config, options, on_step)) as found_rows:
        rows = dict(zip(clips, found_rows, strict=True))
    found = {clip: row for clip, row in rows.items() if isinstance(row, AsdError)}
    good = without(clips, found, bad)
    kept = [row for clip in good if isinstance(row := rows[clip], shards.Row)]
    tell([(row.fit, row.rate) for row in kept], config, trained)
    waveforms = np.stack([row.waveform for row in kept])
    log_mels = np.stack([row.log_mel for row in kept])
    return Clips(
        (waveforms, log_mels), np.array([clip.machine for clip in good]), config
    )


def tell(
    about: list[tuple[str, int]], config: FeatureConfig, trained: tuple[int, ...]
) -> None:
    """Say what was done to clips of another length or rate: nothing is silently."""
    fits = Counter(fit for fit, _ in about)
    tell_rates(Counter(rate for _, rate in about), config.sample_rate, trained)
    if fits["cropped"]:
        log.warning(
            "%d of %d clips are longer and cut to their first %g s",
            fits["cropped"],
            fits.total(),
            config.seconds,
        )
    if fits["repeated"]:
        log.warning(
            "%d of %d clips are shorter and repeated up to %g s",
            fits["repeated"],
            fits.total(),
            config.seconds,
        )


def tell_rates(
    rates: Counter[int], sample_rate: int, trained: tuple[int, ...] = ()
) -> None:
    """Say where clips hold less than the network hears, or more than it knew.

    ``rates`` counts the rates in Hz that clips were recorded at, ``sample_rate`` is
    that of the network, and ``trained`` are those of its training clips.
    """
    knew = {min(rate, sample_rate) for rate in trained}
    for rate, count in sorted(rates.items()):
        holds = min(rate, sample_rate)
        share = f"{count} of {rates.total()} clips were recorded at {rate} Hz"
        if holds < sample_rate:
            unlike = ", unlike those of training" if knew - {holds} else ""
            log.warning("%s: nothing above %g Hz in them%s", share, rate / 2, unlike)
        elif knew and holds not in knew:
            log.warning(
                "%s, those of training at %s: what is above %g Hz is new to the "
                "network",
                share,
                " and ".join(f"{known} Hz" for known in sorted(trained)),
                max(knew) / 2,
            )


def without(
    clips: list[Clip], found: dict[Clip, AsdError], bad: dict[Clip, AsdError] | None
) -> list[Clip]:
    """The clips that are not among those ``found`` to be bad.

    Raises :class:`AsdError`, about all of the latter, where nobody collects them in
    ``bad``, or nothing is left.
    """
    good = [clip for clip in clips if clip not in found]
    if found and (bad is None or not good):
        raise all_of(list(found.values()), len(clips))
    if bad is not None:
        bad.update(found)
    return good


def all_of(errors: list[AsdError], count: int) -> AsdError:
    """One error that says what is wrong with some of ``count`` recordings."""
    if len(errors) == 1:
        return errors[0]
    lines = [f"- {error}" for error in errors[:TOLD]]
    if len(errors) > TOLD:
        lines.append(f"- and {len(errors) - TOLD} more")
    head = f"{len(errors)} of {count} recordings cannot be used, mend or remove them:"
    return AsdError("\n".join([head, *lines]))
