from asdlib.sound.cutting import *
from asdlib.sound.stretches import *
