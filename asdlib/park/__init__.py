"""A machine park to play with: six types of machines, their faults, and how they sound.

Made of arithmetic alone: it imports numpy, scipy and the package's ground files.
"""
