from asdlib.judge.ranks import *
