from asdlib.show.live import *
