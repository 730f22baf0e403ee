"""Archives whose bytes depend on their content alone, and XML in few words."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from asdlib.files import atomic_write

FIRST = ("mimetype", "imsmanifest.xml")  # readers of EPUB and of IMS packages look for them there
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first date that a ZIP can hold


def element(parent: ElementTree.Element | None, name: str, text: str = "", **about: str) -> ElementTree.Element:
    """An element of ``parent`` (None: of nothing) with this text and these attributes.

    In the names of attributes ``__`` stands for a colon.
    """
    attributes = {key.replace("__", ":"): value for key, value in about.items()}
    made = ElementTree.Element(name, attributes) if parent is None else ElementTree.SubElement(parent, name, attributes)
    made.text = text or None
    return made


def written(root: ElementTree.Element) -> bytes:
    """An XML document."""
    ElementTree.indent(root)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="utf-8") + b"\n"


def pack(files: Mapping[str, bytes | Path], target: Path) -> None:
    """Write an archive of these files, by their names; what says what it is comes first, and that of an EPUB as it is."""
    with atomic_write(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files, key=lambda name: (name not in FIRST, name)):
            content = files[name]
            about = zipfile.ZipInfo(name, EPOCH)
            about.compress_type = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            about.external_attr = 0o644 << 16
            archive.writestr(about, content if isinstance(content, bytes) else content.read_bytes())
