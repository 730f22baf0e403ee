from asdlib.sound.data import *
from asdlib.sound.reading import *
from asdlib.sound.scan import *
