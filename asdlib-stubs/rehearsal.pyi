from asdlib.judge.rehearsal import *
from asdlib.sound.rehearsal import *
