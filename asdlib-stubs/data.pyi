from asdlib.sound.data import *
