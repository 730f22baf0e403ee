from asdlib.sound.cache import *
