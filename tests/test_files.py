"""Files that are never half there: neither after an error, nor after a power cut."""

import os
import stat
from pathlib import Path

import pytest

from asdlib.files import atomic_write


class Stop(Exception):  # noqa: N818 (plays the part of any error)
    pass


def test_replacing_leaves_the_old_file_when_the_writer_fails(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")

    def fail_half_way():
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise Stop

    with pytest.raises(Stop):
        fail_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_written_is_on_the_disk_before_it_has_its_name_and_the_name_after(tmp_path, monkeypatch):
    """Else a power cut could leave an empty file under the name of the old one."""
    path, done = tmp_path / "a", []
    real_sync, real_replace = os.fsync, Path.replace

    def sync(handle):
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else os.fstat(handle).st_size)
        real_sync(handle)

    def replace(temporary, target):
        done.append("renamed")
        return real_replace(temporary, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    with atomic_write(path) as temporary:
        temporary.write_text("content")
    assert done == [len("content"), "renamed", "folder"]
    assert path.read_text() == "content"


def test_a_folder_that_cannot_be_flushed_is_no_error_but_a_file_is(tmp_path, monkeypatch):
    """Some network disks know no flushing of folders."""
    refused = []

    def sync(handle):
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        if is_folder is refuse_folders:
            refused.append(handle)
            raise OSError("not here")

    monkeypatch.setattr(os, "fsync", sync)
    refuse_folders = True
    with atomic_write(tmp_path / "a") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a").read_text() == "new"
    refuse_folders = False
    with pytest.raises(OSError, match="not here"), atomic_write(tmp_path / "a") as temporary:
        temporary.write_text("newer")
    assert (tmp_path / "a").read_text() == "new"
    assert len(refused) == 2
