"""The first cell of a chapter in Colab, or in any notebook server that has Python and nothing of this book.

Paste it above a chapter, with the repository's address, and run it once: it fetches the book, installs what a chapter needs
(about three minutes; torch is there on Colab and stays as it is) and goes to the folder of the chapters.
"""

import os
import subprocess
import sys

REPOSITORY = os.environ.get("ASD_REPOSITORY", "https://example.org/asdlib")

if not os.path.exists("odd-sound-out"):
    subprocess.run(
        [
            "git",
            "clone",
            "--quiet",
            "--depth",
            "1",
            REPOSITORY,
            "odd-sound-out",
        ],
        check=True,
    )
subprocess.run(
    [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "./odd-sound-out[book]",
    ],
    check=True,
)
os.chdir("odd-sound-out/book")
sys.path.insert(0, os.getcwd())
print("ready: run the chapter from its first cell on")
