from asdlib.sound.truth import *
