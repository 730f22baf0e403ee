from asdlib.judge.plain import *
