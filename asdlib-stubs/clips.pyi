from asdlib.sound.clips import *
