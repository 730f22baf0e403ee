from asdlib.learn.pieces import *
