from asdlib.judge.normalise import *
