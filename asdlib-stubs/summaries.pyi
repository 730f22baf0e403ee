from asdlib.sound.summaries import *
