from asdlib.learn.spectrum_encoder import *
from asdlib.sound.spectra import *
