"""A detector in use: train a run, keep it, score clips and streams, report, export.

It imports every room below it: ``methods``, ``show``, ``learn``, ``judge``, ``sound``
and the package's ground files.
"""
