from asdlib.learn.encoder import *
