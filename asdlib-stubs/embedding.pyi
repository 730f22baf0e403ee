from asdlib.learn.embedding import *
