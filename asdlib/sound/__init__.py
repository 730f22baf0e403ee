"""From files of sound, or a table of spectra, to clips that a network can read.

Folders are scanned and checked, features computed and kept. It imports the package's
ground files only.
"""
