"""What learns: encoders, heads, losses, and the loop that trains them.

It imports ``sound`` and the package's ground files.
"""
