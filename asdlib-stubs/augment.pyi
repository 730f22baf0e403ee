from asdlib.sound.augment import *
