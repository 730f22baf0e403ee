from asdlib.learn.encoders import *
