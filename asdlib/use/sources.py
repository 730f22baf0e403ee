"""Sound from whatever ffmpeg opens, and again where a live source has gone.

ffmpeg runs as a child that writes a WAV with the source's own rate and channels into a
pipe, so that what comes from it is read as any other WAV that is piped in.
"""

import io
import logging
import re
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Thread

from asdlib.errors import AsdError
from asdlib.sound.decoding import WHERE
from asdlib.use.incoming import PIECE, Incoming, recognised

log = logging.getLogger("asdlib")
# What ffmpeg calls a device, and not a protocol.
DEVICES = ("alsa", "avfoundation", "dshow", "jack", "lavfi", "oss", "pulse", "sndio")
PATIENCE = 30.0  # seconds without a sample: a live source is lost
LONGEST_WAIT = 60  # seconds between two tries
AT_THE_END = 5.0  # seconds that ffmpeg has to end, once it is asked to


@dataclass(frozen=True)
class Part:
    """A stretch of ``sound`` without a gap, which begins with what is ``incoming``.

    It ``began`` when its first samples came; the part before it was ``lost`` when its
    last ones did (None: this is the first), ``gap`` seconds before, whatever the time
    of day was set to meanwhile.
    """

    incoming: Incoming
    sound: io.BufferedIOBase
    began: datetime
    lost: datetime | None = None
    gap: float = 0.0


def is_live(what: str) -> bool:
    """Would a source go on, if it did not break down? A device or address would.

    >>> is_live("alsa:hw:0"), is_live("rtsp://camera/1"), is_live("hour.wav")
    (True, True, False)
    """
    kind = what.partition(":")[0]
    return kind in DEVICES or ("://" in what and kind != "file")


def shown(text: str) -> str:
    """``text`` without the names and passwords in its addresses.

    >>> shown("rtsp://me:secret@camera/1")
    'rtsp://***@camera/1'
    """
    return re.sub(r"//[^/\s]*@", "//***@", text)


def parts(what: str, *, retries: int | None = None) -> Iterator[Part]:
    """The sound of a source, as long as there is any; a file has one part.

    Each part has to be read to its end before the next. A live source that is gone, or
    sends nothing for half a minute, is opened again after 1, 2, 4, ... 60 s, for ever,
    or so many times in a row; each time, a line in the log says so. Raises
    :class:`AsdError` where there is no ffmpeg, it cannot open the source in the first
    place, it finds fault with a file, or a live source has gone for good.
    """
    called, live = shown(what), is_live(what)
    lost, lost_at, tries = None, 0.0, 0
    program = shutil.which("ffmpeg")
    if program is None:
        raise AsdError(
            f"{called} is opened by ffmpeg, which is not installed: install it, or "
            "pipe the samples in"
        )
    while True:
        with _Child(program, what, PATIENCE if live else None) as child:
            sound = io.BufferedReader(child, PIECE)
            opened, why = True, ""
            try:
                incoming = recognised(sound)
            except AsdError as error:
                opened, why = False, str(error)
            if opened:
                gap = 0.0 if lost is None else child.heard_at - lost_at
                yield Part(incoming, sound, child.heard, lost, gap)
                lost, lost_at, tries = child.heard, child.heard_at, 0
            why = child.ended(opened) or why
        if lost is None:
            raise AsdError(
                f"ffmpeg cannot open {called} ({why}): check its name, and whether it "
                "can be reached"
            )
        if not live and why:
            raise AsdError(
                f"ffmpeg finds fault with {called} ({why}): only what could be read "
                "has been scored"
            )
        if not live:
            return
        why = why or "it has ended"
        if tries == retries:
            raise AsdError(f"{called} is gone ({why}): see to it, and start again")
        wait = min(2**tries, LONGEST_WAIT)
        tries += 1
        log.warning("%s is gone (%s): trying again in %d s", called, why, wait)
        time.sleep(wait)


class _Child(io.RawIOBase):
    """What ffmpeg writes. It ends, too, where nothing comes for ``patience`` seconds.

    ``heard`` is when the last of it came, and ``heard_at`` when by a clock that nobody
    sets, in seconds.
    """

    def __init__(self, program: str, what: str, patience: float | None):
        super().__init__()
        self._what, self._patience = what, patience
        self.heard, self.heard_at = datetime.now(UTC), time.monotonic()
        self._stalled = False
        kind, _, rest = what.partition(":")
        source = ["-protocol_whitelist", "file", "-i", f"file:{what}"]
        if kind in DEVICES:
            source = ["-f", kind, "-i", rest]
        elif "://" in what:
            source = ["-i", what]
        command = [program, "-nostdin", "-v", "error", *source, "-map", "0:a:0"]
        command += ["-c:a", "pcm_s16le", "-f", "wav", "-flush_packets", "1", "pipe:1"]
        self._process = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,  # Ctrl-C is for this process, which ends that one
        )
        self._first = self._last = ""  # of what ffmpeg has found fault with
        self._reader = Thread(target=self._read_faults, daemon=True)
        self._reader.start()

    def _read_faults(self) -> None:
        """Else ffmpeg would stop once the pipe is full of them."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            text = line.decode(errors="replace").strip()
            text = WHERE.sub("", text.replace(f"file:{self._what}", self._what))
            self._last = shown(text.removeprefix(f"{self._what}: "))
            self._first = self._first or self._last

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        out = self._process.stdout
        assert isinstance(out, io.FileIO)
        if not select.select([out], [], [], self._patience)[0]:
            self._stalled = True
            return 0
        if count := out.readinto(buffer) or 0:
            self.heard, self.heard_at = datetime.now(UTC), time.monotonic()
        return count

    def ended(self, opened: bool) -> str:
        """What ffmpeg has to say when it has ended: "" where all is well.

        Of what it could not open, the first fault says why, later on the last.
        """
        if self._stalled:
            return f"nothing came for {self._patience:g} s"
        try:
            code = self._process.wait(AT_THE_END)
            self._reader.join()
        except subprocess.TimeoutExpired:  # it hangs, and is ended in a moment
            code = None
        why = self._last if opened else self._first
        return why or (f"ffmpeg ended with {code}" if code else "")

    def close(self) -> None:
        """End ffmpeg, whatever it does."""
        if not self.closed:
            self._process.terminate()
            try:
                self._process.wait(AT_THE_END)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._reader.join()
            for pipe in (self._process.stdout, self._process.stderr):
                assert pipe is not None
                pipe.close()
        super().close()
