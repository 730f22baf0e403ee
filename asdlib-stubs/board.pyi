from asdlib.show.board import *
