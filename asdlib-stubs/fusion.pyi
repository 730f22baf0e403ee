from asdlib.judge.fusion import *
