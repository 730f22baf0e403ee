from asdlib.learn.norm_prelu import *
