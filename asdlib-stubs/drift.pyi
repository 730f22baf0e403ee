from asdlib.judge.drift import *
