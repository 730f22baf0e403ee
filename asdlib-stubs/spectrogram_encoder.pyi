from asdlib.learn.spectrogram_encoder import *
