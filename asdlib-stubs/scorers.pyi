from asdlib.judge.scorers import *
