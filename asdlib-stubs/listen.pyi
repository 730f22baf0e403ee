from asdlib.show.listen import *
