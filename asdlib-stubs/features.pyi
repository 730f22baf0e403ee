from asdlib.sound.features import *
