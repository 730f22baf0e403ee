from asdlib.show.explore import *
