from asdlib.sound.cutting import *
