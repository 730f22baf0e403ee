from asdlib.show.explore import *
from asdlib.show.maps import *
