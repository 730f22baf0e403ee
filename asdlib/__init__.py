"""asdlib: anomalous sound detection with machine-ID based contrastive pretraining, in two readable stages."""

__version__ = "0.1.0"
