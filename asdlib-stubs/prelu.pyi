from asdlib.learn.prelu import *
