from asdlib.sound.layouts import *
