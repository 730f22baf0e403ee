from asdlib.sound.cache import *
from asdlib.sound.computed import *
