"""Pictures and sounds to look at, listen to and work with, in a notebook or a page.

It trains nothing and imports no torch: ``judge`` and ``sound``, and the package's
ground files.
"""
