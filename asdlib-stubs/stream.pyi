from asdlib.use.stream import *
