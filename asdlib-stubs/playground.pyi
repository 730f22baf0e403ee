from asdlib.show.playground import *
