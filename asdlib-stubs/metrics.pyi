from asdlib.judge.metrics import *
