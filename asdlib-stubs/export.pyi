from asdlib.use.export import *
