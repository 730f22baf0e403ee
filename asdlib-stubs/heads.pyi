from asdlib.learn.heads import *
