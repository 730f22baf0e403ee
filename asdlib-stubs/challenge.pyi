from asdlib.judge.challenge import *
