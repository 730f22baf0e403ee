from asdlib.show.plots import *
