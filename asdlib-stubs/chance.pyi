from asdlib.judge.chance import *
