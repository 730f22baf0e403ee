from asdlib.sound.manipulations import *
