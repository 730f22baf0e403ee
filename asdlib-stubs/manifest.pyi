from asdlib.sound.manifest import *
