from asdlib.sound.rehearsal import *
