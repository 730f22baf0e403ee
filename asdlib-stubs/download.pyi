from asdlib.sound.download import *
