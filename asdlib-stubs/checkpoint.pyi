from asdlib.learn.checkpoint import *
