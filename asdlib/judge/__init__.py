"""From embeddings to scores, from scores to a threshold, and how good both are.

Plain numpy, without torch: it imports the package's ground files only.
"""
